//! The logical schema: the TLC's columns by name, independent of their physical type, their order and other columns.

/// A logical column, with the names that it has in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Names in files, compared without case, blanks and punctuation. Of several columns of a file the first one that has a value in
    /// a row counts there: a union of green and yellow files has two of some.
    pub names: &'static [&'static str],
    /// What its values are.
    pub kind: Kind,
    /// Whether a file without the column is refused.
    pub required: bool,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers, codes among them.
    Number,
    /// Times.
    Time,
}

const fn column(names: &'static [&'static str], required: bool) -> Column {
    Column { names, kind: Kind::Number, required }
}

const fn time(names: &'static [&'static str]) -> Column {
    Column { names, kind: Kind::Time, required: false }
}

/// Zone where the trip starts.
pub const PICKUP_ZONE: Column = column(&["PULocationID"], true);
/// Zone where the trip ends.
pub const DROPOFF_ZONE: Column = column(&["DOLocationID"], true);
/// Time when the trip starts, as named in green files, in yellow files and in the course.
pub const PICKUP: Column = time(&["lpep_pickup_datetime", "tpep_pickup_datetime", "pickup_datetime"]);
/// Time when the trip ends.
pub const DROPOFF: Column = time(&["lpep_dropoff_datetime", "tpep_dropoff_datetime", "dropoff_datetime"]);
/// Distance by the meter, miles.
pub const DISTANCE: Column = column(&["trip_distance", "trip_miles"], false);
/// Number of passengers.
pub const PASSENGERS: Column = column(&["passenger_count"], false);
/// Rate code.
pub const RATE_CODE: Column = column(&["RatecodeID", "rate_code"], false);
/// Street hail or dispatch; only in green files.
pub const TRIP_TYPE: Column = column(&["trip_type"], false);
/// Technology provider.
pub const VENDOR: Column = column(&["VendorID"], false);
/// Tip, dollars.
pub const TIP_AMOUNT: Column = column(&["tip_amount", "tips"], false);
/// Fare by the meter, dollars.
pub const FARE_AMOUNT: Column = column(&["fare_amount", "base_passenger_fare"], false);
/// Code of the payment method.
pub const PAYMENT_TYPE: Column = column(&["payment_type"], false);

/// A column that only HVFHV has.
pub const HVFHV_LICENSE: &str = "hvfhs_license_num";

/// Columns that are known before a trip.
pub const TRIP: [Column; 8] =
    [PICKUP_ZONE, DROPOFF_ZONE, PICKUP, DISTANCE, PASSENGERS, RATE_CODE, TRIP_TYPE, VENDOR];
/// Columns that are known only after a trip.
pub const OUTCOME: [Column; 4] = [DROPOFF, TIP_AMOUNT, FARE_AMOUNT, PAYMENT_TYPE];
