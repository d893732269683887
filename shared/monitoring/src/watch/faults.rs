//! The dictionary of known faults. What each would do to the rows of the last days is computed from their counts, so that no trip is read
//! again.

use model::zones::Borough;

use super::cells::{BLOCKS, Shares, vendor_cell};
use crate::profile::{Counts, DETOUR, Grid, Histogram, MILES, Profile};

/// A mistake that a change upstream makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Pickup and drop-off zones are exchanged.
    ZonesSwapped,
    /// Distances are in kilometres.
    Kilometres,
    /// The clock is shifted by hours.
    Clock(i32),
    /// Distances are missing.
    DistancesMissing,
    /// Numbers of passengers are missing.
    PassengersMissing,
    /// Trips of a vendor are missing.
    VendorGone(u8),
}

/// Miles of a kilometre's reciprocal: what a distance is multiplied with if it is written in kilometres.
const KILOMETRES_A_MILE: f64 = 1.609_344;
/// A vendor with a smaller share has no signature; its end is found by its cell alone.
const VENDOR_SHARE_MIN: f64 = 0.03;
/// Hours of the day.
const HOURS: i32 = 24;

impl Fault {
    /// Returns the faults whose signatures can be computed from `usual`.
    pub fn known(usual: &Profile) -> Vec<Self> {
        let mut all = vec![Self::ZonesSwapped, Self::Kilometres];
        all.extend([-5, -4, -1, 1, 4, 5, 12].map(Self::Clock));
        all.extend([Self::DistancesMissing, Self::PassengersMissing]);
        let rows = usual.accepted() as f64;
        let vendors = usual.vendors.iter().filter(|(_, n)| *n as f64 >= VENDOR_SHARE_MIN * rows);
        let vendors: Vec<u8> = vendors.filter_map(|(vendor, _)| u8::try_from(vendor).ok()).collect();
        all.extend(vendors.into_iter().map(Self::VendorGone));
        all
    }

    /// Describes the fault.
    pub fn description(self) -> String {
        match self {
            Self::ZonesSwapped => "pickup and drop-off zones are swapped".into(),
            Self::Kilometres => "trip_distance is in kilometres".into(),
            Self::Clock(hours) => format!("the clock is shifted by {hours:+} h"),
            Self::DistancesMissing => "trip_distance is missing".into(),
            Self::PassengersMissing => "passenger_count is missing".into(),
            Self::VendorGone(vendor) => format!("trips of VendorID {vendor} are missing"),
        }
    }

    /// Returns the shares that the rows of `usual` would have if all of them had the fault.
    pub fn shares(self, usual: &Profile) -> Shares {
        let mut spoiled = usual.clone();
        match self {
            Self::ZonesSwapped => {
                std::mem::swap(&mut spoiled.pickups, &mut spoiled.dropoffs);
                std::mem::swap(&mut spoiled.pickup_hours, &mut spoiled.dropoff_hours);
            }
            Self::Kilometres => {
                spoiled.miles = moved(&usual.miles, MILES, |cell| cell * KILOMETRES_A_MILE);
                let longer = libm::log(KILOMETRES_A_MILE) * DETOUR.cells_a_unit;
                spoiled.detours = moved(&usual.detours, DETOUR, |cell| cell + longer);
            }
            Self::Clock(hours) => {
                spoiled.hours = rotated(&usual.hours, hours, 7);
                spoiled.pickup_hours = rotated(&usual.pickup_hours, hours, Borough::ALL.len() as i32);
                spoiled.dropoff_hours = rotated(&usual.dropoff_hours, hours, Borough::ALL.len() as i32);
            }
            Self::DistancesMissing => {
                spoiled.miles = Histogram::default();
            }
            Self::PassengersMissing => spoiled.passengers = Counts::default(),
            Self::VendorGone(vendor) => return without(usual, vendor),
        }
        Shares::from_profile(&spoiled)
    }
}

/// Returns the shares without the rows of `vendor`. What else its trips have in common is not known from counts.
fn without(usual: &Profile, vendor: u8) -> Shares {
    let mut shares = Shares::from_profile(usual);
    let Some(cell) = vendor_cell(vendor) else { return shares };
    let Some(block) = BLOCKS.iter().find(|block| block.cells.contains(&cell)) else { return shares };
    shares.of[cell] = 0.0;
    let cells = &mut shares.of[block.cells.clone()];
    let total = cells.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    cells.iter_mut().for_each(|share| *share /= total);
    shares
}

fn moved(histogram: &Histogram, grid: Grid, to: impl Fn(f64) -> f64) -> Histogram {
    let mut all = Histogram { cells: Counts::default(), ..histogram.clone() };
    for (cell, rows) in histogram.cells.iter() {
        match to(f64::from(cell)).round() as i32 {
            cell if cell < grid.first => all.below += rows,
            cell if cell > grid.last => all.above += rows,
            cell => all.cells.add(cell, rows),
        }
    }
    all
}

/// Shifts the hours of each of `days`, or boroughs, by `hours` within themselves.
fn rotated(counts: &Counts, hours: i32, days: i32) -> Counts {
    let mut all = Counts::default();
    for (cell, rows) in counts.iter().filter(|(cell, _)| (0..days * HOURS).contains(cell)) {
        all.add(cell / HOURS * HOURS + (cell % HOURS + hours).rem_euclid(HOURS), rows);
    }
    all
}
