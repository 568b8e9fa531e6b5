//! Samples in the order of their times, and what they say of any time.

use std::collections::VecDeque;

use super::blend::Blend;
use super::config::TimelineConfig;
use super::{Motion, micros};

/// A sample with a time that can be reckoned with.
#[derive(Clone, Debug)]
pub(super) struct Point<V> {
    pub(super) at: i64,
    pub(super) value: V,
    pub(super) teleport: bool,
    pub(super) writer: u64,
}

/// The samples that are kept.
#[derive(Clone, Debug)]
pub(super) struct Track<V> {
    points: VecDeque<Point<V>>,
}

impl<V> Default for Track<V> {
    fn default() -> Self {
        Self { points: VecDeque::new() }
    }
}

impl<V: Blend> Track<V> {
    /// Puts a sample in its place. There is none for one that is older than all, nor for a second
    /// one of one time.
    pub(super) fn insert(&mut self, point: Point<V>, capacity: usize) -> bool {
        let place = self.points.partition_point(|other| other.at < point.at);
        let taken = self.points.get(place).is_some_and(|other| other.at == point.at);
        if taken || (place == 0 && !self.points.is_empty()) {
            return false;
        }
        self.points.insert(place, point);
        while self.points.len() > capacity.max(4) {
            self.points.pop_front();
        }
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    pub(super) fn newest(&self) -> Option<&Point<V>> {
        self.points.back()
    }

    /// Drops what lies before `horizon`, but for two samples that are not behind `at`: where it
    /// stands and where it came from.
    pub(super) fn prune(&mut self, at: i64, horizon: i64) {
        let horizon = horizon.min(at);
        while self.points.get(2).is_some_and(|third| third.at <= at)
            && self.points.front().is_some_and(|first| first.at < horizon)
        {
            self.points.pop_front();
        }
    }

    /// The number of the last sample that is not behind `at`.
    pub(super) fn here(&self, at: i64) -> Option<usize> {
        self.points.partition_point(|point| point.at <= at).checked_sub(1)
    }

    /// The number of the first sample in `from..to` (`from` excluded, `to` included) at which
    /// something else begins, with its time and whether it is a leap.
    pub(super) fn turn(&self, from: i64, to: i64) -> Option<(usize, i64, bool)> {
        let first = self.points.partition_point(|point| point.at <= from).max(1);
        let points = self.points.iter().enumerate().skip(first);
        points
            .take_while(|(_, point)| point.at <= to)
            .find(|(place, _)| !self.follows(*place))
            .map(|(place, point)| (place, point.at, point.teleport))
    }

    pub(super) fn value(&self, place: usize) -> Option<&V> {
        self.points.get(place).map(|point| &point.value)
    }

    /// Whether what moves goes from the sample before to this one.
    fn follows(&self, place: usize) -> bool {
        let before = place.checked_sub(1).and_then(|before| self.points.get(before));
        let point = self.points.get(place);
        before.zip(point).is_some_and(|(a, b)| !b.teleport && a.writer == b.writer)
    }

    /// When the way from the sample before to this one begins: with that, or after a rest.
    fn departure(&self, place: usize, interval: i64, config: &TimelineConfig) -> Option<i64> {
        let (a, b) = (self.points.get(place.checked_sub(1)?)?, self.points.get(place)?);
        let rests = b.at - a.at > micros(config.gap);
        Some(if rests { a.at.max(b.at - interval) } else { a.at })
    }

    /// What the samples say of a time.
    pub(super) fn at(
        &self,
        at: i64,
        interval: i64,
        config: &TimelineConfig,
    ) -> Option<(V, Motion)> {
        let Some(here) = self.here(at) else {
            return self.points.front().map(|first| (first.value.clone(), Motion::Resting));
        };
        let next = here + 1;
        if !self.follows(next) {
            return self.coast(here, at, i64::MAX, interval, config);
        }
        let departure = self.departure(next, interval, config)?;
        if at < departure {
            return self.coast(here, at, departure, interval, config);
        }
        let (a, b) = (self.points.get(here)?, self.points.get(next)?);
        let share = ratio(at - departure, b.at - departure);
        Some((V::mix(&a.value, &b.value, share), Motion::Interpolated))
    }

    /// Where what moves gets to behind a sample that nothing follows before `until`: on at its
    /// speed, ever slower, and back, within [`TimelineConfig::coast`].
    pub(super) fn coast(
        &self,
        here: usize,
        at: i64,
        until: i64,
        interval: i64,
        config: &TimelineConfig,
    ) -> Option<(V, Motion)> {
        let last = self.points.get(here)?;
        let (past, length) = (at - last.at, micros(config.coast).min(until - last.at));
        let before = here.checked_sub(1).and_then(|before| self.points.get(before));
        if past == 0 && length > 0 {
            return Some((last.value.clone(), Motion::Interpolated));
        }
        let still = before.is_some_and(|before| before.value == last.value);
        if past >= length || still {
            return Some((last.value.clone(), Motion::Resting));
        }
        let from = before.filter(|_| self.follows(here));
        let Some((from, departure)) = from.zip(self.departure(here, interval, config)) else {
            return Some((last.value.clone(), Motion::Extrapolated));
        };
        let left = ratio(length - past, length);
        // No less than an interval, so that two samples close by are no great speed.
        let span = (last.at - departure).max(interval);
        let share = 1.0 + ratio(past, span) * left * left;
        Some((V::mix(&from.value, &last.value, share), Motion::Extrapolated))
    }
}

/// How large a part is of a whole, which is not zero.
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}
