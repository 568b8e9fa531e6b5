//! Times as tokens have them: RFC 3339, as PASETO asks for.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time in whole seconds, `2026-01-31T12:00:00Z`; nothing beyond the year 9999.
#[must_use]
pub fn write(seconds: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

/// The time that is written so, in Unix seconds; parts of a second are dropped. Any offset from UTC
/// is understood, since libraries write it in different ways. Nothing before 1970.
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    // The letter may be any byte to the parser.
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    u64::try_from(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_one_way_and_read_in_many() {
        assert_eq!(write(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(write(1_800_000_000).as_deref(), Some("2027-01-15T08:00:00Z"));
        assert_eq!(write(253_402_300_800), None);
        assert_eq!(write(u64::MAX), None);
        let same = [
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00.000Z",
            "2027-01-15T08:00:00.999999999999Z",
            "2027-01-15T08:00:00+00:00",
            "2027-01-15T10:30:00+02:30",
            "2027-01-14T23:00:00-09:00",
        ];
        for text in same {
            assert_eq!(read(text), Some(1_800_000_000), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        let wrong = [
            "",
            "1800000000",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-01-15 08:00:00Z",
            "2027-01-15T08:00:00Z ",
            " 2027-01-15T08:00:00Z",
            "2027-1-15T08:00:00Z",
            "2027-02-29T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:00:00+24:00",
            "+002027-01-15T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "2027-01-15T08:00Z",
            "2027-01-1\u{e9}T08:00Z",
        ];
        for text in wrong {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
