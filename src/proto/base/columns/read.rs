//! From a stranger's columns to a base.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use super::block::Source;
use super::shape::Shapes;
use super::strings::{Strings, natural};
use super::{Kind, Limits, VERSION, floats, integers, strings};
use crate::proto::base::{Base, Content, ROWS_EACH, Row};
use crate::proto::change::leb128::Reader;
use crate::proto::model::value::Value;
use crate::proto::reason::ChangeFault;

/// The base of these bytes.
///
/// Costs time and memory for what is made: at most `limits.rows` rows, and `limits.snapshot` bytes of
/// whatever was inflated or repeated. Nothing is made before it is known to be within that. While
/// they are read, rows take up to four times the memory that they take in the end.
///
/// # Errors
///
/// [`ChangeFault::TooLarge`] if it would be more than that, if a key is longer than `limits.key`, or
/// if maps lie deeper than `limits.depth`; [`ChangeFault::Malformed`] for what no encoder writes.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Base, ChangeFault> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return Err(ChangeFault::Malformed);
    }
    let (head, source) = Source::head(reader, limits.snapshot)?;
    let mut source = source.with_head(&head);
    let mut kinds = Vec::new();
    for _ in 0..source.items(1)? {
        kinds.push(Kind::from_code(source.byte()?).ok_or(ChangeFault::Malformed)?);
    }
    let maps: Vec<bool> = kinds.iter().map(|kind| kind.value == super::MAP).collect();
    let shapes = Shapes::read(&mut source, &maps, limits)?;
    let objects = Objects::read(&mut source, &shapes, kinds.len(), limits)?;
    let mut columns = Vec::with_capacity(kinds.len());
    for (kind, count) in kinds.into_iter().zip(&objects.counts) {
        columns.push((Values::read(&mut source, kind, *count)?, kind.fixed));
    }
    if !source.is_empty() {
        return Err(ChangeFault::Malformed);
    }
    objects.rows(&shapes, &columns, limits)
}

/// The objects, in the order in which they are written.
struct Objects {
    objects: Vec<Object>,
    /// For each field of each object, its place in its column.
    cells: Vec<u32>,
    /// For each column, how many values it has.
    counts: Vec<usize>,
}

/// An object.
struct Object {
    shape: usize,
    /// Where its cells begin.
    cells: usize,
    /// The first object that it holds; the others follow.
    below: usize,
}

impl Objects {
    fn read(
        source: &mut Source<'_>,
        shapes: &Shapes,
        columns: usize,
        limits: &Limits,
    ) -> Result<Self, ChangeFault> {
        let count = source.unsigned()?;
        // All but the root are the content of a row. That there is a root is seen below.
        if count > limits.rows.saturating_add(1) {
            return Err(ChangeFault::TooLarge);
        }
        let numbers = integers::read(source, count)?;
        let mut objects = Vec::with_capacity(count);
        let (mut cells, mut below) = (0_usize, 1_usize);
        for (place, shape) in numbers.into_iter().enumerate() {
            let shape = natural(shape)?;
            if place >= below {
                return Err(ChangeFault::Malformed);
            }
            objects.push(Object { shape, cells, below });
            cells = cells.saturating_add(shapes.fields(shape)?.len());
            below = below.saturating_add(shapes.maps(shape)?);
            if cells > limits.rows {
                return Err(ChangeFault::TooLarge);
            }
        }
        if below != count {
            return Err(ChangeFault::Malformed);
        }
        let mut read = Self { objects, cells: Vec::with_capacity(cells), counts: vec![0; columns] };
        for object in &read.objects {
            for field in shapes.fields(object.shape)? {
                let count = read.counts.get_mut(field.column).ok_or(ChangeFault::Malformed)?;
                read.cells.push(u32::try_from(*count).map_err(|_| ChangeFault::TooLarge)?);
                *count = count.saturating_add(1);
            }
        }
        Ok(read)
    }

    /// The rows in the order of a base.
    fn rows(
        self,
        shapes: &Shapes,
        columns: &[(Values, bool)],
        limits: &Limits,
    ) -> Result<Base, ChangeFault> {
        let mut rows = Vec::with_capacity(self.cells.len());
        let mut maps = Vec::with_capacity(self.objects.len().saturating_sub(1));
        // The objects in the order of a base, each with its depth.
        let mut queue = Vec::with_capacity(self.objects.len());
        queue.push((0_usize, 0_usize));
        for at in 0..self.objects.len() {
            let (object, depth) = *queue.get(at).ok_or(ChangeFault::Malformed)?;
            let object = self.objects.get(object).ok_or(ChangeFault::Malformed)?;
            let fields = shapes.fields(object.shape)?;
            if depth >= limits.depth && !fields.is_empty() {
                return Err(ChangeFault::TooLarge);
            }
            let cells = self.cells.get(object.cells..).unwrap_or_default();
            let number = u32::try_from(at).map_err(|_| ChangeFault::TooLarge)?;
            for place in shapes.order(object.shape)? {
                let place = usize::try_from(*place).map_err(|_| ChangeFault::TooLarge)?;
                let field = fields.get(place).ok_or(ChangeFault::Malformed)?;
                let cell = cells.get(place).ok_or(ChangeFault::Malformed)?;
                let column = columns.get(field.column).ok_or(ChangeFault::Malformed)?;
                let (values, fixed) = column;
                if matches!(values, Values::Maps) {
                    maps.push(u32::try_from(rows.len()).map_err(|_| ChangeFault::TooLarge)?);
                    queue.push((object.below.saturating_add(field.maps), depth.saturating_add(1)));
                }
                let content = values.content(*cell).ok_or(ChangeFault::Malformed)?;
                let (key, fixed) = (field.key.clone(), *fixed);
                rows.push(Row { object: number, key, content, fixed });
            }
        }
        let base = Base::from_ordered(rows, maps).ok_or(ChangeFault::WrongPlace)?;
        // Of texts, each character counts.
        if base.len() > limits.rows.div_ceil(ROWS_EACH) {
            return Err(ChangeFault::TooLarge);
        }
        Ok(base)
    }
}

/// The values of a column.
enum Values {
    Maps,
    Nulls,
    /// A bit each, from the lowest of the first byte on.
    Bools(Vec<u8>),
    Ints(Vec<i64>),
    Uints(Vec<i64>),
    Counters(Vec<i64>),
    Floats(Vec<u64>),
    /// Found to be UTF-8.
    Texts(String, Strings),
    /// As well.
    Writings(String, Strings),
    Bytes(Strings),
}

impl Values {
    fn read(source: &mut Source<'_>, kind: Kind, count: usize) -> Result<Self, ChangeFault> {
        Ok(match kind.value {
            super::MAP => Self::Maps,
            super::NULL => Self::Nulls,
            super::BOOL => Self::Bools(source.bytes(count.div_ceil(8))?.into_owned()),
            super::INT => Self::Ints(integers::read(source, count)?),
            super::UINT => Self::Uints(integers::read(source, count)?),
            super::COUNTER => Self::Counters(integers::read(source, count)?),
            super::FLOAT => Self::Floats(floats::read(source, count)?),
            super::TEXT => {
                let (text, strings) = written(source, count)?;
                Self::Texts(text, strings)
            }
            super::WRITING => {
                let (text, strings) = written(source, count)?;
                Self::Writings(text, strings)
            }
            super::BYTES => Self::Bytes(strings::read(source, count)?),
            _ => return Err(ChangeFault::Malformed),
        })
    }

    fn content(&self, cell: u32) -> Option<Content> {
        let place = usize::try_from(cell).ok()?;
        Some(Content::Value(match self {
            Self::Maps => return Some(Content::Map),
            Self::Writings(text, strings) => {
                let text = text.get(strings.places.get(place)?.clone())?;
                return Some(Content::Text(text.to_owned()));
            }
            Self::Counters(totals) => return totals.get(place).copied().map(Content::Counter),
            Self::Nulls => Value::Null,
            Self::Bools(bits) => Value::Bool(bits.get(place / 8)? >> (place % 8) & 1 == 1),
            Self::Ints(numbers) => Value::Int(*numbers.get(place)?),
            Self::Uints(numbers) => Value::Uint(numbers.get(place)?.cast_unsigned()),
            Self::Floats(bits) => Value::Float(f64::from_bits(*bits.get(place)?)),
            Self::Texts(text, strings) => {
                Value::Text(text.get(strings.places.get(place)?.clone())?.to_owned())
            }
            Self::Bytes(strings) => {
                Value::Bytes(strings.bytes.get(strings.places.get(place)?.clone())?.to_vec())
            }
        }))
    }
}

/// Strings that are UTF-8.
fn written(source: &mut Source<'_>, count: usize) -> Result<(String, Strings), ChangeFault> {
    let mut strings = strings::read(source, count)?;
    let bytes = std::mem::take(&mut strings.bytes);
    let text = String::from_utf8(bytes).map_err(|_| ChangeFault::Malformed)?;
    Ok((text, strings))
}
