//! What a value is called on the state lane.

use std::fmt;

use crate::proto::model::grid::Grid;
use crate::proto::model::path::Path;
use crate::proto::ownership::META;

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
        // Who owns a model is told from its path: of two spellings one would be nobody's.
        let spelled = model.keys().fold(Path::root(), |path, key| path.join(&key));
        let about = model.keys().next().is_some_and(|key| key == META);
        let name = Self { model, property, grid, ephemeral };
        let own = name.grid.is_valid() && name.to_string() == text && spelled == name.model;
        (property > 0 && own && !about).then_some(name)
    }

    /// Where its value stands.
    #[must_use]
    pub fn place(&self) -> Path {
        self.model.property(self.property)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place().as_str(), self.grid)?;
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
        assert_eq!(Name::parse(&text.replace("b%2Fc", "b%c")), None);
        assert_eq!(Name::parse(&text.replace("b%2Fc", "b%2fc")), None);
        assert_eq!(Name::parse("/4 f"), None);
        assert!(Name::parse("3/4 f").is_some());
        assert_eq!(Name::parse("0/4 f"), None);
        assert_eq!(Name::parse("0/@claims/4 f"), None);
        assert_eq!(Name::parse("4"), None);
        assert_eq!(Name::parse(""), None);
    }
}
