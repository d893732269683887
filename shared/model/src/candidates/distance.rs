//! A distance for trips that state none, or none that can be planned.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::trip::{Trip, Zone};
use crate::zones;

/// Returns the number of a pair of zones; a missing zone has number 0.
pub fn pair(trip: &Trip) -> u32 {
    let id = |zone: Option<Zone>| zone.map_or(0, |zone| u32::from(zone.id()));
    id(trip.pickup_zone) * 266 + id(trip.dropoff_zone)
}

/// Mean metered miles of training trips, from the narrowest group that was seen: the pair of zones, the distance
/// between their centroids, the pickup zone, all trips. (Centroids come before the zone's mean: they know where the
/// trip ends.)
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DistanceFallback {
    /// Pairs seen, ascending.
    pairs: Vec<u32>,
    /// Mean miles of each pair.
    pair_miles: Vec<f64>,
    /// Mean miles by pickup zone, position 0 for a missing one; `None` for zones not seen.
    zone_miles: Vec<Option<f64>>,
    /// Metered miles per mile between centroids.
    detour_ratio: f64,
    /// Mean miles of all trips.
    mean_miles: f64,
}

/// Zones, and a place for a missing one.
const ZONES: usize = Zone::COUNT + 1;

#[derive(Default, Clone, Copy)]
struct Mean {
    rows: f64,
    sum: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.rows += 1.0;
        self.sum += value;
    }
    fn get(self) -> Option<f64> {
        (self.rows > 0.0).then(|| self.sum / self.rows)
    }
}

impl DistanceFallback {
    /// Returns whether all its numbers are finite, and whether there is one for each pair and zone.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = [self.detour_ratio, self.mean_miles];
        let numbers = numbers.iter().chain(&self.pair_miles).chain(self.zone_miles.iter().flatten());
        self.pairs.len() == self.pair_miles.len()
            && self.pairs.is_sorted()
            && matches!(self.zone_miles.len(), 0 | ZONES)
            && numbers.into_iter().all(|number| number.is_finite())
    }

    /// Fits the means to trips, each with its miles where they can be trusted.
    pub fn fit(trips: impl Iterator<Item = (Trip, Option<f64>)>) -> Self {
        let mut pairs: HashMap<u32, Mean> = HashMap::new();
        let mut zones_seen = vec![Mean::default(); ZONES];
        let (mut all, mut metered, mut straight) = (Mean::default(), 0.0, 0.0);
        for (trip, miles) in trips {
            let Some(miles) = miles else { continue };
            pairs.entry(pair(&trip)).or_default().add(miles);
            zones_seen[trip.pickup_zone.map_or(0, |zone| usize::from(zone.id()))].add(miles);
            all.add(miles);
            if let Some(between) = zones::straight_miles(trip.pickup_zone, trip.dropoff_zone) {
                metered += miles;
                straight += f64::from(between);
            }
        }
        let mut pairs: Vec<(u32, Mean)> = pairs.into_iter().collect();
        pairs.sort_unstable_by_key(|(pair, _)| *pair);
        Self {
            pair_miles: pairs.iter().filter_map(|(_, mean)| mean.get()).collect(),
            pairs: pairs.into_iter().map(|(pair, _)| pair).collect(),
            zone_miles: zones_seen.into_iter().map(Mean::get).collect(),
            // Without data, a taxi drives 1.3 times the straight line, as it does in this city.
            detour_ratio: if straight > 0.0 { metered / straight } else { 1.3 },
            mean_miles: all.get().unwrap_or_default(),
        }
    }

    /// Returns the expected miles of a trip that states none; always finite.
    pub fn miles(&self, trip: &Trip) -> f64 {
        let by_pair = self.pairs.binary_search(&pair(trip)).ok().map(|at| self.pair_miles[at]);
        let by_centroid = || {
            let straight = zones::straight_miles(trip.pickup_zone, trip.dropoff_zone)?;
            (straight > 0.0).then(|| f64::from(straight) * self.detour_ratio)
        };
        let by_zone = || *self.zone_miles.get(trip.pickup_zone.map_or(0, |zone| usize::from(zone.id())))?;
        by_pair.or_else(by_centroid).or_else(by_zone).unwrap_or(self.mean_miles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(from: u16, to: u16) -> Trip {
        Trip { pickup_zone: Zone::new(from), dropoff_zone: Zone::new(to), ..Trip::default() }
    }

    #[test]
    fn the_narrowest_group_that_was_seen_answers() {
        let seen = [(trip(132, 138), Some(12.0)), (trip(132, 138), Some(14.0)), (trip(7, 264), Some(3.0))];
        let fallback = DistanceFallback::fit(seen.into_iter().chain([(trip(7, 7), None)]));
        assert_eq!(fallback.miles(&trip(132, 138)), 13.0, "the pair's mean");
        let back = fallback.miles(&trip(138, 132));
        assert!((back - 13.0).abs() < 1e-4, "as far between the same centroids, but {back}");
        assert_eq!(fallback.miles(&trip(7, 265)), 3.0, "265 is no place: the zone's mean");
        assert_eq!(fallback.miles(&trip(264, 265)), 29.0 / 3.0, "nothing known: the mean of all");
        assert_eq!(DistanceFallback::fit(std::iter::empty()).miles(&Trip::default()), 0.0);
    }
}
