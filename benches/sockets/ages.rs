//! How old things are.

/// Of some ages, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Ages {
    pub(crate) middle: f64,
    pub(crate) slow: f64,
    pub(crate) slowest: f64,
}

impl Ages {
    /// Of ages in microseconds.
    pub(crate) fn of(mut ages: Vec<u32>) -> Self {
        ages.sort_unstable();
        let at = |hundredth: usize| {
            let place = (ages.len() * hundredth / 100).min(ages.len().saturating_sub(1));
            ages.get(place).map_or(f64::NAN, |age| f64::from(*age) / 1e3)
        };
        Self { middle: at(50), slow: at(99), slowest: at(100) }
    }
}
