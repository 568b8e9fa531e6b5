//! What a value is called on the state lane.

use std::fmt;

use crate::proto::model::grid::Grid;
use crate::proto::model::path::Path;

/// What the names end in of values that nobody keeps.
const EPHEMERAL: char = '!';

/// Whose value it is, and how it lies on its grid: with that anybody can read it, a relay that knows no
/// types too.
#[derive(Clone, PartialEq, Debug)]
pub struct Name {
    /// The model.
    pub model: Path,
    /// Its property.
    pub property: u16,
    /// Where its values lie.
    pub grid: Grid,
    /// Whether it goes with whoever says it: it is never in a document.
    pub ephemeral: bool,
}

impl Name {
    /// The name that a text is, if it is the one spelling of it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, grid) = text.rsplit_once(' ')?;
        let lasting = grid.strip_suffix(EPHEMERAL);
        let (grid, ephemeral) = (lasting.unwrap_or(grid), lasting.is_some());
        let grid: Grid = grid.parse().ok()?;
        let (model, key) = Path::parse(place).split()?;
        let property: u16 = key.parse().ok()?;
        let name = Self { model, property, grid, ephemeral };
        (property > 0 && name.grid.is_valid() && name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.model.property(self.property).as_str(), self.grid)?;
        if self.ephemeral { write!(f, "{EPHEMERAL}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::model::grid::Form;

    #[test]
    fn a_name_is_read_as_it_is_written_and_no_other_way() {
        let grid = Grid { form: Form::Vector(3), step: 0.01, origin: 0.0, round: None };
        let model = Path::root().property(3).join("a b/c");
        let name = Name { model, property: 4, grid, ephemeral: false };
        let text = name.to_string();
        assert_eq!(Name::parse(&text), Some(name.clone()));
        let brief = Name { ephemeral: true, ..name };
        assert_eq!(Name::parse(&format!("{text}!")), Some(brief));
        assert_eq!(Name::parse(&format!("{text}!!")), None);
        assert_eq!(Name::parse(&text.replace("/4 ", "/04 ")), None);
        assert_eq!(Name::parse(&text.replace("/4 ", "/0 ")), None);
        assert_eq!(Name::parse("4"), None);
        assert_eq!(Name::parse(""), None);
    }
}
