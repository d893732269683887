//! A day as shares of cells: what its rows have in each column, and the clock against the boroughs.

use std::ops::Range;
use std::sync::LazyLock;

use model::Zone;
use model::zones::Borough;

use crate::profile::{Counts, DETOUR, Histogram, MILES, Profile};

/// A column, or two columns together, whose shares add up to 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The name of the column, as trips spell it.
    pub column: &'static str,
    /// Its cells.
    pub cells: Range<usize>,
}

/// Last codes that have a cell of their own; greater ones share the next.
const CODES: [(&str, i32); 4] =
    [("VendorID", 6), ("passenger_count", 9), ("RatecodeID", 6), ("trip_type", 2)];

/// Number of hours of a day.
const HOURS: usize = 24;

/// Ends of the cells of distances, in cells of [`MILES`]: a fifth more from one to the next, from a tenth of a mile to 30 miles.
static MILE_ENDS: LazyLock<Vec<i32>> = LazyLock::new(|| {
    let ends = std::iter::successors(Some(0.1f64), |end| Some(end * 1.12)).take_while(|end| *end < 30.0);
    ends.map(|miles| (miles * MILES.cells_a_unit).round() as i32).collect()
});

/// Ends of the cells of distance over straight distance, in cells of [`DETOUR`]: steps of 5 % from 0.8 to 2.6.
static DETOUR_ENDS: LazyLock<Vec<i32>> = LazyLock::new(|| {
    let ends = std::iter::successors(Some(-0.22f64), |end| Some(end + 0.04)).take_while(|end| *end < 0.96);
    ends.map(|log| (log * DETOUR.cells_a_unit).round() as i32).collect()
});

/// All blocks, in the order of their cells.
pub static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let sizes = [
        ("PULocationID", Zone::COUNT + 1),
        ("DOLocationID", Zone::COUNT + 1),
        ("hour", HOURS + 1),
        // Codes from 0, one for greater ones, and one for missing ones.
        (CODES[0].0, CODES[0].1 as usize + 3),
        (CODES[1].0, CODES[1].1 as usize + 3),
        (CODES[2].0, CODES[2].1 as usize + 3),
        (CODES[3].0, CODES[3].1 as usize + 3),
        // One cell more than ends, and one for missing and impossible distances.
        ("trip_distance", MILE_ENDS.len() + 2),
        ("trip_distance over the straight line", DETOUR_ENDS.len() + 1),
        ("hour by borough of PULocationID", HOURS * Borough::ALL.len()),
        ("hour by borough of DOLocationID", HOURS * Borough::ALL.len()),
    ];
    let mut start = 0;
    sizes
        .into_iter()
        .map(|(column, size)| {
            let cells = start..start + size;
            start = cells.end;
            Block { column, cells }
        })
        .collect()
});

/// Returns the cell of a vendor; great codes share one.
pub fn vendor_cell(vendor: u8) -> Option<usize> {
    let (column, last) = CODES[0];
    let block = BLOCKS.iter().find(|block| block.column == column)?;
    Some(block.cells.start + usize::from(vendor).min(last as usize + 1))
}

/// Returns the number of cells of all blocks.
pub fn cells() -> usize {
    BLOCKS.last().map_or(0, |block| block.cells.end)
}

/// Shares of the rows of a day, or of several days, by cell, and the rows behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// Share of the block's rows in each cell.
    pub of: Vec<f64>,
    /// Rows of the cell's block.
    pub rows: Vec<f64>,
}

impl Shares {
    /// Computes the shares of a profile.
    pub fn from_profile(profile: &Profile) -> Self {
        let rows = profile.accepted() as f64;
        let mut all = Vec::with_capacity(cells());
        for zones in [&profile.pickups, &profile.dropoffs] {
            all.push(with_rest(zones, 0..Zone::COUNT as i32, rows));
        }
        let mut of_day = Counts::default();
        profile.hours.iter().for_each(|(hour, rows)| of_day.add(hour % HOURS as i32, rows));
        all.push(with_rest(&of_day, 0..HOURS as i32, rows));
        let codes = [&profile.vendors, &profile.passengers, &profile.rate_codes, &profile.trip_types];
        for ((_, last), counts) in CODES.into_iter().zip(codes) {
            let mut cells: Vec<f64> = (0..=last).map(|code| counts.get(code) as f64).collect();
            let greater = counts.iter().filter(|(code, _)| *code > last).map(|(_, rows)| rows as f64).sum();
            cells.push(greater);
            cells.push(rows - counts.total() as f64);
            all.push(cells);
        }
        let mut miles = between(&profile.miles, &MILE_ENDS);
        miles.push(rows - profile.miles.total() as f64);
        all.push(miles);
        all.push(between(&profile.detours, &DETOUR_ENDS));
        for counts in [&profile.pickup_hours, &profile.dropoff_hours] {
            let cells = 0..(HOURS * Borough::ALL.len()) as i32;
            all.push(cells.map(|cell| counts.get(cell) as f64).collect());
        }
        let mut shares = Self { of: Vec::with_capacity(cells()), rows: Vec::with_capacity(cells()) };
        for cells in all {
            let total = cells.iter().sum::<f64>().max(1.0);
            shares.rows.extend(std::iter::repeat_n(total, cells.len()));
            shares.of.extend(cells.into_iter().map(|rows| rows / total));
        }
        shares
    }
}

/// Returns the rows of the cells in `range`, and the rest of `rows`.
fn with_rest(counts: &Counts, range: Range<i32>, rows: f64) -> Vec<f64> {
    let mut cells: Vec<f64> = range.map(|cell| counts.get(cell) as f64).collect();
    cells.push(rows - cells.iter().sum::<f64>());
    cells
}

/// Returns the rows of a histogram between `ends`, below the first and above the last of them.
fn between(histogram: &Histogram, ends: &[i32]) -> Vec<f64> {
    let mut rows = vec![0.0; ends.len() + 1];
    rows[0] += histogram.below as f64;
    rows[ends.len()] += histogram.above as f64;
    for (cell, n) in histogram.cells.iter() {
        rows[ends.partition_point(|end| *end <= cell)] += n as f64;
    }
    rows
}

/// Names a cell for people: `VendorID 6`, `hour 17`, `PULocationID 74`.
pub fn name_of(cell: usize) -> String {
    let Some(block) = BLOCKS.iter().find(|block| block.cells.contains(&cell)) else { return String::new() };
    let (column, at) = (block.column, cell - block.cells.start);
    let is_last = cell + 1 == block.cells.end;
    match column {
        "PULocationID" | "DOLocationID" if is_last => format!("{column} unknown"),
        "PULocationID" | "DOLocationID" => format!("{column} {}", at + 1),
        "hour" if is_last => "pickup time missing".into(),
        "hour" => format!("hour {at}"),
        "trip_distance" if is_last => "trip_distance missing or impossible".into(),
        "trip_distance" => {
            format!("trip_distance {}", range_of(at, &MILE_ENDS, |end| f64::from(end) / MILES.cells_a_unit))
        }
        "trip_distance over the straight line" => {
            format!(
                "{column} {}",
                range_of(at, &DETOUR_ENDS, |end| (f64::from(end) / DETOUR.cells_a_unit).exp())
            )
        }
        _ if column.starts_with("hour by") => {
            let borough = Borough::ALL.get(at / HOURS).map_or("unknown", |borough| borough.name());
            format!("hour {} in {borough} ({})", at % HOURS, column.rsplit(' ').next().unwrap_or_default())
        }
        _ if is_last => format!("{column} missing"),
        _ if cell + 2 == block.cells.end => format!("{column} above {}", at - 1),
        _ => format!("{column} {at}"),
    }
}

fn range_of(at: usize, ends: &[i32], unit: impl Fn(i32) -> f64) -> String {
    match (at.checked_sub(1).map(|below| unit(ends[below])), ends.get(at).map(|end| unit(*end))) {
        (Some(from), Some(to)) => format!("{from:.2} to {to:.2}"),
        (None, Some(to)) => format!("below {to:.2}"),
        (Some(from), None) => format!("from {from:.2}"),
        (None, None) => String::new(),
    }
}
