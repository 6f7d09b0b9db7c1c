//! Times, dates, ages and numbers as the pages show them.

use dokuei_domain::Timestamp;
use jiff::{civil::Date, tz::TimeZone};

use crate::text::{Words, fill};

/// `2026-11-22 18:05` in the node's zone.
pub(crate) fn minute(zone: &TimeZone, at: Timestamp) -> String {
    zone.to_datetime(at.to_jiff()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// With seconds, for attempts that follow each other closely.
pub(crate) fn second(zone: &TimeZone, at: Timestamp) -> String {
    zone.to_datetime(at.to_jiff()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

pub(crate) fn optional_minute(zone: &TimeZone, at: Option<Timestamp>) -> String {
    at.map(|at| minute(zone, at)).unwrap_or_default()
}

/// `1950-03-14` for a DICOM date; what is none is shown as written.
pub(crate) fn date(dicom: &str) -> String {
    parse_date(dicom).map_or_else(|| dicom.trim().to_owned(), |date| date.to_string())
}

/// `19500314` for a date as a browser's date field writes it, `1950-03-14`.
pub(crate) fn dicom_date(typed: &str) -> Option<String> {
    let date: Date = typed.parse().ok()?;
    (typed == date.to_string() && date.year() >= 1).then(|| typed.replace('-', ""))
}

/// The age on the day of the examination; empty when either date is not one.
pub(crate) fn age(birth_date: &str, study_date: &str, t: &Words) -> String {
    let (Some(birth), Some(on)) = (parse_date(birth_date), parse_date(study_date)) else { return String::new() };
    if on < birth {
        return String::new();
    }
    let mut months =
        (i32::from(on.year()) - i32::from(birth.year())) * 12 + i32::from(on.month()) - i32::from(birth.month());
    if on.day() < birth.day() {
        months -= 1;
    }
    match months {
        0..12 => fill(t.months, &[("n", &months)]),
        _ => fill(t.years, &[("n", &(months / 12))]),
    }
}

/// `YYYYMMDD` (PS3.5 6.2, VR DA), and `YYYY.MM.DD` of ACR-NEMA times.
fn parse_date(dicom: &str) -> Option<Date> {
    let text = dicom.trim();
    let dotted = text.len() == 10 && text.bytes().filter(|b| *b == b'.').count() == 2;
    let digits: String = if dotted { text.chars().filter(|c| *c != '.').collect() } else { text.to_owned() };
    if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Date::new(digits.get(..4)?.parse().ok()?, digits.get(4..6)?.parse().ok()?, digits.get(6..)?.parse().ok()?).ok()
}

/// `2時間15分`.
pub(crate) fn duration(seconds: i64, t: &Words) -> String {
    let minutes = seconds.max(0) / 60;
    let (days, hours) = (minutes / (24 * 60), minutes / 60);
    if days > 0 {
        fill(t.waiting_days, &[("days", &days), ("hours", &(hours % 24))])
    } else if hours > 0 {
        fill(t.waiting_hours, &[("hours", &hours), ("minutes", &(minutes % 60))])
    } else {
        fill(t.waiting_minutes, &[("minutes", &minutes)])
    }
}

/// `412 KiB`.
pub(crate) fn size(bytes: i64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

/// (0010,0040) in words; what the standard does not know is shown as written.
pub(crate) fn sex(dicom: &str, t: &Words) -> String {
    match dicom.trim() {
        "M" => t.sex_male.to_owned(),
        "F" => t.sex_female.to_owned(),
        "O" => t.sex_other.to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{ENGLISH, JAPANESE};

    #[test]
    fn times_are_local() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(minute(&zone, dokuei_testkit::clock::TEST_START), "2026-11-22 09:00");
        assert_eq!(second(&zone, dokuei_testkit::clock::TEST_START.plus_seconds(61)), "2026-11-22 09:01:01");
    }

    #[test]
    fn odd_dates_are_shown_as_written() {
        for (dicom, shown) in [
            ("19500314", "1950-03-14"),
            ("1950.03.14", "1950-03-14"),
            (" 19500314 ", "1950-03-14"),
            ("19500230", "19500230"),
            ("0000", "0000"),
            ("昭和25年", "昭和25年"),
            ("", ""),
        ] {
            assert_eq!(date(dicom), shown);
        }
    }

    #[test]
    fn ages_count_completed_years_and_months() {
        for (birth, on, shown) in [
            ("19500314", "20260313", "75歳"),
            ("19500314", "20260314", "76歳"),
            ("20260101", "20261122", "10か月"),
            ("20261122", "20261122", "0か月"),
            ("20261123", "20261122", ""),
            ("unknown", "20261122", ""),
            ("19500314", "", ""),
        ] {
            assert_eq!(age(birth, on, &JAPANESE), shown, "{birth} {on}");
        }
    }

    #[test]
    fn waiting_and_sizes() {
        assert_eq!(duration(59, &ENGLISH), "0 min");
        assert_eq!(duration(8_100, &JAPANESE), "2時間15分");
        assert_eq!(duration(200_000, &ENGLISH), "2 d 7 h");
        assert_eq!(duration(-5, &ENGLISH), "0 min");
        assert_eq!((size(900), size(34_000), size(2_400_000)), ("900 B".into(), "33 KiB".into(), "2.2 MiB".into()));
    }
}
