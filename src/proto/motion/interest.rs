//! What a peer wants to be told of on the state lane.

use thiserror::Error;

use crate::proto::model::path::Path;
use crate::proto::wire::bounded::{Line, List};
use crate::proto::wire::message::{StateArea, StateInterest, StateTag};

/// How many thousandths a unit has.
const THOUSANDTHS: f32 = 1_000.0;

/// What a peer wants to be told of what moves: models that any of these names; everything, if there are
/// none. What is left out stays as it was told last, and is told as it is when it comes in.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Interest {
    /// Models, each with all that is below it: at most 256.
    pub models: Vec<Path>,
    /// Models of which a property of the document is this text: at most 64.
    pub tags: Vec<(u16, String)>,
    /// Models that are in one of these areas: at most 16.
    pub areas: Vec<Area>,
}

/// A ball; a disc if places have two numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    /// The state property that says where a model is: a vector.
    pub property: u16,
    /// Its centre, in the property's unit.
    pub center: [f32; 3],
    /// Its radius.
    pub radius: f32,
}

/// Why an interest cannot be said.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum InterestError {
    /// It names more than may be.
    #[error("{count} {what}, over the limit of {limit}: name what they are in")]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A path or a text is too long.
    #[error("{size} bytes, over the limit of {limit}: {text}")]
    TooLong {
        /// The path or text.
        text: String,
        /// How many bytes it has.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
    /// An area is nowhere.
    #[error("an area's centre and radius must be finite numbers, and its radius not below 0")]
    Nowhere,
}

impl Interest {
    /// What is said of it.
    ///
    /// # Errors
    ///
    /// When it is too large, or an area is nowhere.
    pub fn record(&self) -> Result<StateInterest, InterestError> {
        let models = self.models.iter().map(|path| line(path.as_str()));
        let tags = self
            .tags
            .iter()
            .map(|(property, value)| Ok(StateTag { property: *property, value: line(value)? }));
        let areas = self.areas.iter().map(|area| {
            let thousandths = |number: f32| {
                #[expect(clippy::cast_possible_truncation, reason = "far off is far off")]
                let whole = (number * THOUSANDTHS).round() as i64;
                if number.is_finite() { Ok(whole) } else { Err(InterestError::Nowhere) }
            };
            let [x, y, z] = area.center.map(thousandths);
            let radius = u64::try_from(thousandths(area.radius)?);
            let radius = radius.map_err(|_| InterestError::Nowhere)?;
            Ok(StateArea { property: area.property, center: [x?, y?, z?], radius })
        });
        Ok(StateInterest {
            models: list("models", models.collect::<Result<_, _>>()?)?,
            tags: list("tags", tags.collect::<Result<_, InterestError>>()?)?,
            areas: list("areas", areas.collect::<Result<_, InterestError>>()?)?,
        })
    }
}

fn line<const MAX: usize>(text: &str) -> Result<Line<MAX>, InterestError> {
    let (size, limit) = (text.len(), MAX);
    Line::new(text).ok_or_else(|| InterestError::TooLong { text: text.to_owned(), size, limit })
}

fn list<T, const MAX: usize>(
    what: &'static str,
    all: Vec<T>,
) -> Result<List<T, MAX>, InterestError> {
    let (count, limit) = (all.len(), MAX);
    if count > limit {
        return Err(InterestError::TooMany { what, count, limit });
    }
    Ok(List::of(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_says_why() {
        let area = Area { property: 2, center: [1.0, -2.5, 0.0], radius: 10.0 };
        let interest = Interest { areas: vec![area], ..Interest::default() };
        let record = interest.record().unwrap();
        assert_eq!((record.areas[0].center, record.areas[0].radius), ([1_000, -2_500, 0], 10_000));
        let nowhere = Area { radius: f32::NAN, ..area };
        let nowhere = Interest { areas: vec![nowhere], ..Interest::default() };
        assert_eq!(nowhere.record(), Err(InterestError::Nowhere));
        let inward = Area { radius: -1.0, ..area };
        let inward = Interest { areas: vec![inward], ..Interest::default() };
        assert_eq!(inward.record(), Err(InterestError::Nowhere));
        let many = Interest { areas: vec![area; 17], ..Interest::default() };
        let expected = InterestError::TooMany { what: "areas", count: 17, limit: 16 };
        assert_eq!(many.record(), Err(expected));
        let long = Interest { tags: vec![(1, "x".repeat(257))], ..Interest::default() };
        assert!(matches!(long.record(), Err(InterestError::TooLong { size: 257, limit: 256, .. })));
    }
}
