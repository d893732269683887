//! Joint bins: features whose bins occur together in few combinations share one number for each combination.
//!
//! A row then adds to one cell for all of these features instead of one for each, and the histogram of any of them is
//! a marginal sum of the joint histogram, without loss. Trips have many such features: a zone determines its latitude
//! and longitude, a quarter of an hour its hour. (LightGBM bundles features of which at most one differs from zero;
//! Ke et al. 2017, section 4. Counting the combinations that occur finds those too.)

use super::Labelled;
use super::bins::Bins;
use super::parallel::Threads;

/// About how many rows the features of a bundle are chosen from.
const SAMPLE_ROWS: usize = 16_384;
/// Number of combinations that are few for any features: their histogram takes a small part of the first-level cache.
const FEW: usize = 256;
/// Largest number of joint bins of several features, so that the bundles of a block fit 16 bits.
const JOINT_BINS_MAX: usize = 4096;

/// Features with joint bins.
#[derive(Debug)]
pub(super) struct Joint {
    /// Positions of the features.
    pub(super) members: Vec<usize>,
    /// The bin of each member that a joint bin stands for, `[members][joint bins]`.
    pub(super) bins: Vec<Vec<u16>>,
    /// The joint bin of each row.
    pub(super) rows: Vec<u16>,
}

/// Bundles the features of `train`; every feature is a member of one of the results.
///
/// A sample of the rows shows which features to try together, and all rows decide.
pub(super) fn bundle(bins: &[Bins], train: &Labelled<'_>, threads: &Threads) -> Vec<Joint> {
    let step = (train.labels.len() / SAMPLE_ROWS).max(1);
    let binned = |feature: usize, step: usize| {
        let values = train.values[feature..].iter().step_by(train.n_features * step);
        values.map(move |value| bins[feature].bin(*value) as u16)
    };
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|&feature| std::cmp::Reverse(bins[feature].len));
    let mut planned: Vec<Joint> = Vec::new();
    for feature in order {
        let sample: Vec<u16> = binned(feature, step).collect();
        let len = bins[feature].len;
        let grown = planned.iter().enumerate().filter_map(|(at, joint)| {
            let with = joint.with(feature, len, sample.iter().copied(), joint.few_with(len))?;
            // Combinations are those of the sample, which may lack bins, so that there are even fewer.
            Some((with.len() as i64 - joint.len() as i64, at, with))
        });
        match grown.min_by_key(|(growth, at, _)| (*growth, *at)) {
            Some((_, at, with)) => planned[at] = with,
            None => planned.push(Joint::alone(feature, len, sample.into_iter())),
        }
    }
    let built = threads.map(planned, |planned| {
        let mut joint: Option<Joint> = None;
        let mut others = Vec::new();
        for feature in planned.members {
            let (len, rows) = (bins[feature].len, binned(feature, 1));
            let Some(so_far) = &joint else {
                joint = Some(Joint::alone(feature, len, rows));
                continue;
            };
            // Rows outside the sample add combinations.
            match so_far.with(feature, len, rows, 2 * so_far.few_with(len)) {
                Some(with) => joint = Some(with),
                None => others.push(Joint::alone(feature, len, binned(feature, 1))),
            }
        }
        others.extend(joint);
        others
    });
    built.into_iter().flatten().collect()
}

impl Joint {
    fn alone(feature: usize, len: usize, rows: impl Iterator<Item = u16>) -> Self {
        Self { members: vec![feature], bins: vec![(0..len as u16).collect()], rows: rows.collect() }
    }

    /// Returns the number of joint bins.
    pub(super) fn len(&self) -> usize {
        self.bins[0].len()
    }

    /// Returns how many combinations with a feature of `len` bins are few: not more cells than the two have apart.
    fn few_with(&self, len: usize) -> usize {
        FEW.max(self.len() + len)
    }

    /// Adds a feature of `len` bins, whose bin of each row is `bins`; returns `None` if more than `most` combinations
    /// occur.
    fn with(&self, feature: usize, len: usize, bins: impl Iterator<Item = u16>, most: usize) -> Option<Self> {
        const NONE: u16 = u16::MAX;
        let most = most.min(JOINT_BINS_MAX);
        let mut number = vec![NONE; self.len() * len];
        let mut combinations: Vec<(u16, u16)> = Vec::new();
        let mut rows = Vec::with_capacity(self.rows.len());
        for (&joint, bin) in self.rows.iter().zip(bins) {
            let number = &mut number[usize::from(joint) * len + usize::from(bin)];
            if *number == NONE {
                if combinations.len() == most {
                    return None;
                }
                *number = combinations.len() as u16;
                combinations.push((joint, bin));
            }
            rows.push(*number);
        }
        let of_member =
            |bins: &Vec<u16>| combinations.iter().map(|(joint, _)| bins[usize::from(*joint)]).collect();
        let mut bins: Vec<Vec<u16>> = self.bins.iter().map(of_member).collect();
        bins.push(combinations.iter().map(|(_, bin)| *bin).collect());
        let members = self.members.iter().copied().chain([feature]).collect();
        Some(Self { members, bins, rows })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundled(columns: &[Vec<f32>]) -> (Vec<Bins>, Vec<Joint>) {
        let n_rows = columns[0].len();
        let values: Vec<f32> =
            (0..n_rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        let labels = vec![0.0; n_rows];
        let train = Labelled { values: &values, labels: &labels, n_features: columns.len(), weights: None };
        let bins: Vec<Bins> =
            columns.iter().map(|column| Bins::numeric(column.iter().copied(), n_rows, 255)).collect();
        let joints = bundle(&bins, &train, &Threads::new(1, n_rows));
        (bins, joints)
    }

    fn members(joints: &[Joint]) -> Vec<Vec<usize>> {
        joints.iter().map(|joint| joint.members.clone()).collect()
    }

    #[test]
    fn a_feature_joins_what_determines_it() {
        let zone = |row: u32| (row * 7919 % 251) as f32;
        let hour = |row: u32| (row * 104_729 % 997 % 96) as f32;
        let column = |of: &dyn Fn(u32) -> f32| (0..20_000).map(of).collect::<Vec<_>>();
        let columns = [
            column(&zone),
            column(&|row| 40.0 + (zone(row) - 100.0).abs()),
            column(&hour),
            column(&|row| (hour(row) / 4.0).floor()),
        ];
        let (_, joints) = bundled(&columns);
        assert_eq!(members(&joints), [[0, 1], [2, 3]]);
        assert_eq!(joints.iter().map(Joint::len).collect::<Vec<_>>(), [251, 96]);
    }

    #[test]
    fn halves_of_one_feature_share_the_cells_that_they_need() {
        let ratio = |row: u32| (row * 7919 % 401) as f32 - 200.0;
        let columns = [
            (0..20_000).map(|row| ratio(row).max(0.0)).collect(),
            (0..20_000).map(|row| ratio(row).min(0.0)).collect::<Vec<_>>(),
        ];
        let (_, joints) = bundled(&columns);
        assert_eq!((members(&joints), joints[0].len()), (vec![vec![0, 1]], 401));
    }

    #[test]
    fn what_the_sample_did_not_show_stays_apart() {
        // Every second row is in the sample. There, the second column follows the first.
        let own = |row: u32| (row / 2 * 7919 % 200) as f32;
        let free = |row: u32| if row.is_multiple_of(2) { own(row) } else { (row * 104_729 % 197) as f32 };
        let columns = [(0..40_000).map(own).collect(), (0..40_000).map(free).collect::<Vec<_>>()];
        assert_eq!(members(&bundled(&columns).1), [[1], [0]]);
    }

    #[test]
    fn bins_that_the_sample_lacks_have_joint_bins() {
        // Every second row is in the sample, where the first column has half of its values.
        let own =
            |row: u32| if row.is_multiple_of(2) { (row / 2 % 50) as f32 } else { (row / 2 % 100) as f32 };
        let half = |row: u32| (own(row) / 2.0).floor();
        let columns = [(0..40_000).map(own).collect(), (0..40_000).map(half).collect::<Vec<_>>()];
        let (_, joints) = bundled(&columns);
        assert_eq!((members(&joints), joints[0].len()), (vec![vec![0, 1]], 100));
    }

    proptest! {
        #[test]
        fn joint_bins_stand_for_the_bins_of_every_member(
            columns in prop::collection::vec(prop::collection::vec(-20i8..20, 300), 1..6),
        ) {
            let columns: Vec<Vec<f32>> =
                columns.iter().map(|column| column.iter().map(|value| f32::from(*value)).collect()).collect();
            let (bins, joints) = bundled(&columns);
            let mut seen: Vec<usize> = joints.iter().flat_map(|joint| joint.members.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..columns.len()).collect::<Vec<_>>());
            for joint in &joints {
                for (member, of_joint) in joint.members.iter().zip(&joint.bins) {
                    for (row, at) in joint.rows.iter().enumerate() {
                        let bin = bins[*member].bin(columns[*member][row]);
                        prop_assert_eq!(usize::from(of_joint[usize::from(*at)]), bin);
                    }
                }
            }
        }
    }
}
