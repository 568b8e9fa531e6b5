//! Columns of strings of bytes: lengths and bytes, with or without what the one before begins with,
//! as places in a list of them, or as floats.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use std::ops::Range;

use super::block::{Source, Writer};
use super::integers::SAMPLE;
use super::{floats, integers};
use crate::proto::reason::ChangeFault;

/// The most floats of a string that are columns of their own.
const MOST_FLOATS: usize = 16;

/// How strings are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Lengths, and bytes.
    Whole,
    /// Without what the string before begins with too.
    Fronts,
    /// As places in a list of all that there are, which is in ascending order.
    List,
    /// All have one length, and are floats of four bytes, little-endian: each a column.
    Floats,
}

impl Form {
    const ALL: [Self; 4] = [Self::Whole, Self::Fronts, Self::List, Self::Floats];

    const fn code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Fronts => 1,
            Self::List => 2,
            Self::Floats => 3,
        }
    }

    fn fits(self, strings: &[&[u8]]) -> bool {
        match self {
            Self::Whole | Self::Fronts => true,
            Self::List => {
                strings.len() > 1 && {
                    let sample = strings.iter().take(SAMPLE);
                    distinct(sample.copied()).len() <= strings.len().min(SAMPLE) / 2
                }
            }
            Self::Floats => strings.split_first().is_some_and(|(first, rest)| {
                (4..=MOST_FLOATS.saturating_mul(4)).contains(&first.len())
                    && first.len().is_multiple_of(4)
                    && rest.iter().all(|string| string.len() == first.len())
            }),
        }
    }
}

/// Appends a column. Floats are only tried if `floats` says so.
pub(super) fn write(out: &mut Writer, strings: &[&[u8]], floats: bool) {
    if strings.is_empty() {
        return;
    }
    let sample = strings.get(..SAMPLE).unwrap_or(strings);
    let forms = Form::ALL.into_iter().filter(|form| floats || *form != Form::Floats);
    let best = forms.filter(|form| form.fits(strings)).min_by_key(|form| {
        let mut measured = Writer::measuring();
        write_as(&mut measured, sample, *form);
        measured.size()
    });
    write_as(out, strings, best.unwrap_or(Form::Whole));
}

fn write_as(out: &mut Writer, strings: &[&[u8]], form: Form) {
    out.byte(form.code());
    match form {
        Form::Whole => {
            integers::write(out, &lengths(strings));
            out.block(&strings.concat());
        }
        Form::Fronts => {
            let mut last: &[u8] = &[];
            let (mut fronts, mut rests) = (Vec::new(), Vec::new());
            for string in strings {
                let same = last.iter().zip(*string).take_while(|(a, b)| a == b).count();
                fronts.push(i64::try_from(same).unwrap_or(i64::MAX));
                rests.push(string.get(same..).unwrap_or_default());
                last = string;
            }
            integers::write(out, &fronts);
            integers::write(out, &lengths(&rests));
            out.block(&rests.concat());
        }
        Form::List => {
            let list = distinct(strings.iter().copied());
            let place = |string: &&[u8]| list.binary_search(string).unwrap_or_default();
            let places = strings.iter().map(|string| i64::try_from(place(string)));
            let places: Vec<i64> = places.map(Result::unwrap_or_default).collect();
            out.unsigned(list.len());
            integers::write(out, &places);
            write_as(out, &list, Form::Fronts);
        }
        Form::Floats => {
            let size = strings.first().map_or(0, |first| first.len() / 4);
            out.unsigned(size);
            for place in 0..size {
                let column = strings.iter().filter_map(|string| string.as_chunks().0.get(place));
                let column = column.map(|float| floats::widen(u32::from_le_bytes(*float)));
                floats::write(out, &column.collect::<Vec<_>>());
            }
        }
    }
}

fn lengths(strings: &[&[u8]]) -> Vec<i64> {
    strings.iter().map(|string| i64::try_from(string.len()).unwrap_or(i64::MAX)).collect()
}

fn distinct<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut list: Vec<_> = strings.collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// The strings of a column: all bytes, and where each stands.
#[derive(Debug, Default)]
pub(super) struct Strings {
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Range<usize>>,
}

/// The next column, of `count` strings.
pub(super) fn read(source: &mut Source<'_>, count: usize) -> Result<Strings, ChangeFault> {
    if count == 0 {
        return Ok(Strings::default());
    }
    let code = source.byte()?;
    let form = Form::ALL.into_iter().find(|form| form.code() == code);
    match form.ok_or(ChangeFault::Malformed)? {
        Form::Whole => whole(source, count),
        Form::Fronts => fronts(source, count),
        Form::List => list(source, count),
        Form::Floats => singles(source, count),
    }
}

/// Reads `count` lengths, and the bytes of all.
fn whole(source: &mut Source<'_>, count: usize) -> Result<Strings, ChangeFault> {
    let lengths = integers::read(source, count)?;
    let mut places = Vec::with_capacity(count);
    let mut end = 0_usize;
    for length in lengths {
        let from = end;
        end = end.checked_add(natural(length)?).ok_or(ChangeFault::TooLarge)?;
        places.push(from..end);
    }
    Ok(Strings { bytes: source.bytes(end)?.into_owned(), places })
}

fn fronts(source: &mut Source<'_>, count: usize) -> Result<Strings, ChangeFault> {
    let fronts = integers::read(source, count)?;
    let rests = whole(source, count)?;
    let mut strings = Strings { bytes: Vec::new(), places: Vec::with_capacity(count) };
    let mut last = 0..0_usize;
    for (front, rest) in fronts.into_iter().zip(rests.places) {
        let front = natural(front)?;
        source.spend(front)?;
        let from = strings.bytes.len();
        let until = last.start.checked_add(front).ok_or(ChangeFault::Malformed)?;
        if until > last.end {
            return Err(ChangeFault::Malformed);
        }
        strings.bytes.extend_from_within(last.start..until);
        strings.bytes.extend_from_slice(rests.bytes.get(rest).ok_or(ChangeFault::Malformed)?);
        last = from..strings.bytes.len();
        strings.places.push(last.clone());
    }
    Ok(strings)
}

fn list(source: &mut Source<'_>, count: usize) -> Result<Strings, ChangeFault> {
    let length = source.unsigned()?;
    if length > count {
        return Err(ChangeFault::Malformed);
    }
    let at = integers::read(source, count)?;
    let list = match source.byte()? {
        0 => whole(source, length)?,
        1 => fronts(source, length)?,
        _ => return Err(ChangeFault::Malformed),
    };
    let mut places = Vec::with_capacity(count);
    for at in at {
        let place = list.places.get(natural(at)?).ok_or(ChangeFault::Malformed)?;
        source.spend(place.len())?;
        places.push(place.clone());
    }
    Ok(Strings { bytes: list.bytes, places })
}

fn singles(source: &mut Source<'_>, count: usize) -> Result<Strings, ChangeFault> {
    let size = source.unsigned()?;
    if !(1..=MOST_FLOATS).contains(&size) {
        return Err(ChangeFault::Malformed);
    }
    let width = size.saturating_mul(4);
    let length = width.checked_mul(count).ok_or(ChangeFault::TooLarge)?;
    source.spend(length)?;
    let mut bytes = vec![0; length];
    for place in 0..size {
        let column = floats::read(source, count)?;
        let slots = bytes.as_chunks_mut().0.iter_mut().skip(place).step_by(size);
        for (slot, bits) in slots.zip(column) {
            *slot = floats::narrow(bits)?.to_le_bytes();
        }
    }
    let starts = (0..length).step_by(width);
    let places = starts.map(|start| start..start.saturating_add(width)).collect();
    Ok(Strings { bytes, places })
}

pub(super) fn natural(number: i64) -> Result<usize, ChangeFault> {
    usize::try_from(number).map_err(|_| ChangeFault::Malformed)
}
