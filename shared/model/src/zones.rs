//! Where a zone is: borough, centroid, airport.

mod table;

use crate::trip::Zone;

/// The borough of a zone, as the TLC's zone table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Borough {
    /// The Bronx.
    Bronx,
    /// Brooklyn.
    Brooklyn,
    /// Newark Airport, which is in New Jersey.
    Ewr,
    /// Manhattan.
    Manhattan,
    /// Zone 265: outside of the city.
    Outside,
    /// Queens.
    Queens,
    /// Staten Island.
    StatenIsland,
    /// Zone 264, or a zone that was not stated.
    Unknown,
}

impl Borough {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Bronx,
        Self::Brooklyn,
        Self::Ewr,
        Self::Manhattan,
        Self::Outside,
        Self::Queens,
        Self::StatenIsland,
        Self::Unknown,
    ];

    /// Returns the borough's name in the TLC's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bronx => "Bronx",
            Self::Brooklyn => "Brooklyn",
            Self::Ewr => "EWR",
            Self::Manhattan => "Manhattan",
            Self::Outside => "Outside of NYC",
            Self::Queens => "Queens",
            Self::StatenIsland => "Staten Island",
            Self::Unknown => "Unknown",
        }
    }
}

/// Returns the borough of `zone`, unknown for a missing one.
pub fn borough(zone: Option<Zone>) -> Borough {
    zone.map_or(Borough::Unknown, |zone| table::ZONES[zone.index()].0)
}

/// Returns latitude and longitude in degrees (WGS84) of the middle of `zone`; `None` for 264, 265 and a missing zone.
pub fn centroid(zone: Option<Zone>) -> Option<(f32, f32)> {
    let (_, latitude, longitude) = table::ZONES[zone?.index()];
    (!latitude.is_nan()).then_some((latitude, longitude))
}

/// Returns whether `zone` is Newark (1), JFK (132) or LaGuardia (138).
pub fn is_airport(zone: Option<Zone>) -> bool {
    zone.is_some_and(|zone| matches!(zone.id(), 1 | 132 | 138))
}

pub(crate) const MILES_A_DEGREE: f32 = 69.0;
// cos(40.73 degrees), the latitude of the city: a constant, since libm's cos may differ between machines.
pub(crate) const LONGITUDE_SHRINKS: f32 = 0.757_8;

/// Computes the miles between the centroids of two zones as the crow flies (equirectangular: the error over a city is
/// far below the size of a zone); `None` if either has no centroid.
pub fn straight_miles(from: Option<Zone>, to: Option<Zone>) -> Option<f32> {
    let ((from_lat, from_lon), (to_lat, to_lon)) = (centroid(from)?, centroid(to)?);
    let (north, east) = (to_lat - from_lat, (to_lon - from_lon) * LONGITUDE_SHRINKS);
    Some(MILES_A_DEGREE * (north * north + east * east).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(id: u16) -> Option<Zone> {
        Zone::new(id)
    }

    #[test]
    fn zones_lie_where_the_tlc_says() {
        assert_eq!(borough(zone(1)), Borough::Ewr);
        assert_eq!(borough(zone(74)), Borough::Manhattan, "East Harlem North");
        assert_eq!(borough(zone(132)), Borough::Queens, "JFK Airport");
        assert_eq!(borough(zone(264)), Borough::Unknown);
        assert_eq!(borough(zone(265)), Borough::Outside);
        assert_eq!(borough(None), Borough::Unknown);
        assert_eq!([1, 132, 138, 74].map(|id| is_airport(zone(id))), [true, true, true, false]);
    }

    #[test]
    fn jfk_is_about_ten_miles_from_laguardia() {
        let miles = straight_miles(zone(132), zone(138)).unwrap();
        assert!((9.0..11.5).contains(&miles), "{miles}");
        assert_eq!(straight_miles(zone(132), zone(132)), Some(0.0));
        assert_eq!(straight_miles(zone(132), zone(264)), None);
        assert_eq!(straight_miles(None, zone(132)), None);
    }

    #[test]
    fn every_borough_has_the_zones_of_the_tlc_table() {
        let count = |wanted| (1..=265).filter(|&id| borough(zone(id)) == wanted).count();
        // Counted in the TLC's taxi_zone_lookup.csv.
        assert_eq!(count(Borough::Queens), 69);
        assert_eq!(count(Borough::Manhattan), 69);
        assert_eq!(count(Borough::Brooklyn), 61);
        assert_eq!(count(Borough::Bronx), 43);
        assert_eq!(count(Borough::StatenIsland), 20);
    }
}
