//! Search for the best split of a leaf, given its histogram.

use std::borrow::Cow;

use super::bins::Kind;
use super::fit::draw;
use super::histogram::{Cell, Sums};
use super::layout::{Feature, Layout};
use super::params::Settings;
use super::quantize::Steps;

/// Which bins go left.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BinTest {
    /// Bins up to and including this one.
    AtMost(usize),
    /// These bins, ascending.
    OneOf(Vec<usize>),
}

/// A split that is worth making.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Twice the reduction of the loss.
    pub(super) gain: f64,
    pub(super) feature: usize,
    pub(super) test: BinTest,
    pub(super) missing_left: bool,
    pub(super) left: Sums,
    /// Values of the left and the right leaf.
    pub(super) values: [f64; 2],
}

/// Inputs of the search that are the same for all leaves of a tree.
#[derive(Debug)]
pub(super) struct SplitSearch<'a> {
    pub(super) settings: &'a Settings,
    pub(super) layout: &'a Layout,
    pub(super) steps: Steps,
    /// The round, which numbers the tree.
    pub(super) round: u32,
    /// The features that this tree may split on, ascending.
    pub(super) allowed: &'a [usize],
}

/// Sums and score of the leaf to be split.
#[derive(Debug, Clone, Copy)]
struct Parent {
    sums: Sums,
    /// Twice the amount by which the unsplit leaf reduces the loss.
    score: f64,
}

impl SplitSearch<'_> {
    /// Returns a leaf's value: the Newton step -G / (H + L2) (Chen and Guestrin 2016, eq. 5).
    pub(super) fn value(&self, sums: Sums, l2: f64) -> f64 {
        let hessian = self.steps.hessian_of(sums) + l2;
        if hessian > 0.0 { -self.steps.gradient_of(sums) / hessian } else { 0.0 }
    }

    /// Returns twice the amount by which a leaf of this value reduces the loss: G^2 / (H + L2) if no bound applies.
    fn score(&self, sums: Sums, l2: f64, value: f64) -> f64 {
        let (gradient, hessian) = (self.steps.gradient_of(sums), self.steps.hessian_of(sums) + l2);
        -(2.0 * gradient + hessian * value) * value
    }

    /// Returns the best split of a leaf with these sums, or `None` if no split is allowed. `leaf` numbers the leaves of a tree as they arise,
    /// and draws the features that are looked at; `room` is scratch space.
    pub(super) fn best<C: Cell>(
        &self,
        leaf: usize,
        histogram: &[C],
        sums: Sums,
        room: &mut Vec<C>,
    ) -> Option<Found> {
        let l2 = self.settings.l2;
        let score = self.score(sums, l2, self.value(sums, l2));
        let parent = Parent { sums, score };
        let mut best = None;
        for &position in self.looked_at(leaf).iter() {
            let feature = &self.layout.features[position];
            if feature.bins.len < 2 {
                continue;
            }
            let joint = &histogram[self.layout.bundles[feature.bundle].clone()];
            let cells = marginal(joint, feature, room);
            match feature.bins.kind {
                Kind::Numeric(_) => self.numeric(position, cells, parent, &mut best),
                Kind::Categories { .. } => self.categories(position, cells, parent, &mut best),
            }
        }
        best
    }

    /// Returns the features that the search for the split of a leaf looks at, ascending.
    fn looked_at(&self, leaf: usize) -> Cow<'_, [usize]> {
        let settings = self.settings;
        if settings.node_feature_fraction >= 1.0 {
            return self.allowed.into();
        }
        // A random stream of its own, beside those that sample rows and the features of trees.
        let seed = settings.seed ^ 0x5EED_1EAF ^ ((leaf as u64) << 32);
        drawn(self.allowed, settings.node_feature_fraction, seed, self.round).into()
    }

    fn numeric<C: Cell>(&self, position: usize, cells: &[C], parent: Parent, best: &mut Option<Found>) {
        let bins = &self.layout.features[position].bins;
        let missing = bins.missing.map(|bin| cells[bin].sums()).unwrap_or_default();
        let valued = &cells[..bins.missing.unwrap_or(bins.len)];
        self.scan(position, valued, Sums::default(), parent, best);
        if missing.rows > 0 {
            self.scan(position, valued, missing, parent, best);
        }
    }

    /// Tries every cut; `left` starts with the sums of the missing values, or with zero if those go right.
    fn scan<C: Cell>(
        &self,
        position: usize,
        valued: &[C],
        mut left: Sums,
        parent: Parent,
        best: &mut Option<Found>,
    ) {
        let missing_left = left.rows > 0;
        // If missing values go left, a cut after the last bin leaves the right side empty; if they go right, it
        // separates them from all others.
        let cuts = if missing_left || self.layout.features[position].bins.missing.is_none() {
            valued.len() - 1
        } else {
            valued.len()
        };
        for (bin, cell) in valued[..cuts].iter().enumerate() {
            left += cell.sums();
            let mut right = parent.sums;
            right -= left;
            if left.rows < self.settings.min_child_rows {
                continue;
            }
            if right.rows < self.settings.min_child_rows {
                break;
            }
            let Some((gain, values)) = self.gain(left, right, self.settings.l2, parent) else {
                continue;
            };
            if gain > best.as_ref().map_or(self.settings.min_gain, |best| best.gain) {
                let nothing_missing = !missing_left && parent.sums.rows == total_rows(valued);
                *best = Some(Found {
                    gain,
                    feature: position,
                    test: BinTest::AtMost(bin),
                    // If no value of this leaf is missing, missing values go to the side with more rows.
                    missing_left: missing_left || (nothing_missing && left.rows > right.rows),
                    left,
                    values,
                });
            }
        }
    }

    /// Finds the best subset of categories. With categories ordered by gradient over hessian, it is a prefix or a
    /// suffix of the order (Fisher 1958), so the order is scanned in both directions.
    fn categories<C: Cell>(&self, position: usize, cells: &[C], parent: Parent, best: &mut Option<Found>) {
        let settings = self.settings;
        let feature = &self.layout.features[position];
        let Kind::Categories { codes, .. } = &feature.bins.kind else { return };
        let l2 = settings.l2 + settings.category_l2;
        // The bin of all other values stays on the right, where values that training never saw go too.
        let listed = (0..codes.len()).chain(feature.bins.missing);
        let mut order: Vec<(f64, usize, Sums)> = listed
            .map(|bin| (bin, cells[bin].sums()))
            .filter(|(_, sums)| sums.rows > 0 && sums.rows >= settings.min_category_rows)
            .map(|(bin, sums)| {
                let drawn = self.steps.hessian_of(sums) + settings.category_smoothing;
                (self.steps.gradient_of(sums) / drawn, bin, sums)
            })
            .collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for backwards in [false, true] {
            if backwards {
                order.reverse();
            }
            let mut left = Sums::default();
            let mut found: Option<(f64, usize, Sums, [f64; 2])> = None;
            for (taken, (_, _, sums)) in order.iter().enumerate() {
                left += *sums;
                let mut right = parent.sums;
                right -= left;
                if left.rows < settings.min_child_rows {
                    continue;
                }
                if right.rows < settings.min_child_rows.max(1) {
                    break;
                }
                let Some((gain, values)) = self.gain(left, right, l2, parent) else { continue };
                let to_beat = best.as_ref().map_or(settings.min_gain, |best| best.gain);
                if gain > found.as_ref().map_or(to_beat, |(gain, ..)| *gain) {
                    found = Some((gain, taken, left, values));
                }
            }
            if let Some((gain, taken, left, values)) = found {
                let mut bins: Vec<usize> = order[..=taken].iter().map(|(_, bin, _)| *bin).collect();
                bins.sort_unstable();
                let missing_left = feature.bins.missing.is_some_and(|missing| bins.contains(&missing));
                let test = BinTest::OneOf(bins);
                *best = Some(Found { gain, feature: position, test, missing_left, left, values });
            }
        }
    }

    /// Returns the gain of a split and the values of its leaves, or `None` if a leaf is too light.
    #[inline]
    fn gain(&self, left: Sums, right: Sums, l2: f64, parent: Parent) -> Option<(f64, [f64; 2])> {
        let lightest = self.steps.hessian_of(left).min(self.steps.hessian_of(right));
        if lightest < self.settings.min_child_weight {
            return None;
        }
        let values = [self.value(left, l2), self.value(right, l2)];
        let gain = self.score(left, l2, values[0]) + self.score(right, l2, values[1]) - parent.score;
        Some((gain, values))
    }
}

/// Draws a fraction `share` of `features`, at least one, ascending.
pub(super) fn drawn(features: &[usize], share: f64, seed: u64, round: u32) -> Vec<usize> {
    let n_drawn = ((features.len() as f64 * share).round() as usize).clamp(1, features.len().max(1));
    let mut order: Vec<(u64, usize)> =
        features.iter().map(|&feature| (draw(seed, round, feature as u64), feature)).collect();
    order.sort_unstable();
    let mut drawn: Vec<usize> = order.iter().take(n_drawn).map(|(_, feature)| *feature).collect();
    drawn.sort_unstable();
    drawn
}

fn total_rows<C: Cell>(cells: &[C]) -> u32 {
    cells.iter().map(|cell| cell.sums().rows).sum()
}

/// Returns the histogram of one feature of a bundle, summed over the other features.
fn marginal<'a, C: Cell>(joint: &'a [C], feature: &Feature, room: &'a mut Vec<C>) -> &'a [C] {
    if feature.is_alone {
        return joint;
    }
    room.clear();
    room.resize(feature.bins.len, C::default());
    joint.iter().zip(&feature.bin_of).for_each(|(cell, bin)| room[usize::from(*bin)] += *cell);
    room
}
