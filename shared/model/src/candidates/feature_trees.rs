//! Trees over rows of features, which read codes that training hardly saw as missing.
//!
//! A code is a name, not a quantity: trees split between codes by their numbers, so that one which training did not see would be predicted
//! like a neighbour. Rare ones say little, and a defect in their labels would be learned by heart.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use trees::{Ensemble, Scorer};

use crate::features;

/// Codes on fewer training rows are read as missing.
const ROWS_MIN: usize = 40;

/// Trees over the features of [`features::NAMES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeatureTrees {
    scorer: Box<Scorer>,
    known: KnownCodes,
}

/// The values of each feature of [`features::CODES`] that are not read as missing, ascending.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct KnownCodes(Vec<Vec<u8>>);

impl FeatureTrees {
    pub(crate) fn new(ensemble: Ensemble, known: KnownCodes) -> Self {
        Self { scorer: Box::new(Scorer::new(ensemble)), known }
    }

    /// Returns the trees.
    pub(crate) fn ensemble(&self) -> &Ensemble {
        self.scorer.ensemble()
    }

    /// Returns the codes that the trees know.
    pub(crate) fn known(&self) -> &KnownCodes {
        &self.known
    }

    /// Returns the sum of the trees for each of `rows`, row-major.
    pub(crate) fn sums(&self, rows: &[f32]) -> Vec<f64> {
        self.scorer.predict(&self.known.masked(rows))
    }
}

impl KnownCodes {
    /// Finds the codes that stand on enough of `rows`, row-major.
    pub(super) fn fit(rows: &[f32]) -> Self {
        let known = features::CODES.map(|at| {
            let mut counts = [0usize; 256];
            let values = rows.iter().skip(at).step_by(features::NAMES.len());
            values.filter(|value| !value.is_nan()).for_each(|value| counts[usize::from(*value as u8)] += 1);
            (0..=u8::MAX).filter(|code| counts[usize::from(*code)] >= ROWS_MIN).collect()
        });
        Self(known.into())
    }

    /// Returns the known values of each feature of [`features::CODES`], ascending.
    pub(crate) fn values(&self) -> impl Iterator<Item = (usize, &[u8])> {
        features::CODES.into_iter().zip(self.0.iter().map(Vec::as_slice))
    }

    /// Returns whether a value of the feature at `at` is not known, for features that are codes.
    fn is_unknown(&self, at: usize, value: f32) -> bool {
        let known = self.values().find(|(of, _)| *of == at);
        !value.is_nan() && known.is_some_and(|(_, known)| !known.iter().any(|code| f32::from(*code) == value))
    }

    /// Returns `rows` with NaN in place of the codes that are not known.
    pub(crate) fn masked<'a>(&self, rows: &'a [f32]) -> Cow<'a, [f32]> {
        let mut masked = Cow::Borrowed(rows);
        for (start, row) in rows.chunks_exact(features::NAMES.len()).enumerate() {
            for at in features::CODES {
                if self.is_unknown(at, row[at]) {
                    masked.to_mut()[start * features::NAMES.len() + at] = f32::NAN;
                }
            }
        }
        masked
    }

    /// Returns whether there is a list for each code.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.len() == features::CODES.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureRows;
    use crate::trip::Trip;

    #[test]
    fn codes_that_are_rare_or_new_are_read_as_missing() {
        let trip = |vendor, passengers| Trip { vendor, passengers, ..Trip::default() };
        let mut trips = vec![trip(Some(2), Some(1)); ROWS_MIN];
        trips.extend(vec![trip(Some(6), None); ROWS_MIN - 1]);
        let rows = FeatureRows::from_trips(&trips).values;
        let known = KnownCodes::fit(&rows);
        assert_eq!(
            known.values().map(|(_, known)| known.to_vec()).collect::<Vec<_>>(),
            [vec![2], vec![], vec![1], vec![]]
        );
        assert!(matches!(known.masked(&rows[..features::NAMES.len()]), Cow::Borrowed(_)));
        for (served, read) in [
            (trip(Some(2), Some(1)), trip(Some(2), Some(1))),
            (trip(Some(6), Some(1)), trip(None, Some(1))),
            (trip(Some(7), Some(9)), trip(None, None)),
        ] {
            let rows = FeatureRows::from_trips(&[served]).values;
            let masked: Vec<u32> = known.masked(&rows).iter().map(|value| value.to_bits()).collect();
            let expected: Vec<u32> = features::row(&read).iter().map(|value| value.to_bits()).collect();
            assert_eq!(masked, expected, "{served:?}");
        }
    }
}
