//! On-duty hours of a reader, as typed by the office: `Mon-Fri 08:00-20:00; Sat 09:00-12:00`.

use jiff::civil::{DateTime, Weekday};

/// Why a text is not a timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a timetable; write for example 'Mon-Fri 08:00-20:00; Sat 09:00-12:00'")]
pub struct HoursError(String);

/// Weekly intervals in local civil time. An interval whose end is not after its beginning runs over midnight. No interval at all: always on duty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OnDutyHours {
    text: String,
    intervals: Vec<Interval>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Interval {
    day: i8, // Monday = 0
    from: i16,
    to: i16,
}

const MINUTES_OF_DAY: i16 = 24 * 60;

impl OnDutyHours {
    /// On duty at any time.
    pub fn always() -> Self {
        Self::default()
    }

    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let error = || HoursError(text.to_owned());
        let mut intervals = Vec::new();
        for part in text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
            let (days, times) = part.split_once(' ').ok_or_else(error)?;
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (first, last) = (weekday(first).ok_or_else(error)?, weekday(last).ok_or_else(error)?);
            let (from, to) = times.trim().split_once('-').ok_or_else(error)?;
            let (from, to) = (minute(from).ok_or_else(error)?, minute(to).ok_or_else(error)?);
            let mut day = first;
            loop {
                intervals.push(Interval { day, from, to });
                if day == last {
                    break;
                }
                day = (day + 1) % 7;
            }
        }
        Ok(Self { text: text.trim().to_owned(), intervals })
    }

    /// The text it was parsed from; empty for [`Self::always`].
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn contains(&self, at: DateTime) -> bool {
        if self.intervals.is_empty() {
            return true;
        }
        let day = at.weekday().to_monday_zero_offset();
        let minute = i16::from(at.hour()) * 60 + i16::from(at.minute());
        self.intervals.iter().any(|interval| {
            let over_midnight = interval.to <= interval.from;
            if over_midnight {
                (interval.day == day && minute >= interval.from)
                    || ((interval.day + 1) % 7 == day && minute < interval.to)
            } else {
                interval.day == day && (interval.from..interval.to).contains(&minute)
            }
        })
    }
}

fn weekday(text: &str) -> Option<i8> {
    const NAMES: [(&str, &str, Weekday); 7] = [
        ("mon", "月", Weekday::Monday),
        ("tue", "火", Weekday::Tuesday),
        ("wed", "水", Weekday::Wednesday),
        ("thu", "木", Weekday::Thursday),
        ("fri", "金", Weekday::Friday),
        ("sat", "土", Weekday::Saturday),
        ("sun", "日", Weekday::Sunday),
    ];
    let lower = text.trim().to_lowercase();
    NAMES
        .iter()
        .find(|(english, japanese, _)| lower == *english || lower == *japanese)
        .map(|(_, _, day)| day.to_monday_zero_offset())
}

fn minute(text: &str) -> Option<i16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
    let of_day = hour * 60 + minute;
    ((0..=24).contains(&hour) && (0..60).contains(&minute) && of_day <= MINUTES_OF_DAY).then_some(of_day)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn weekdays_and_nights() {
        let hours = OnDutyHours::parse("Mon-Fri 08:00-20:00; Sat 22:00-02:00").unwrap();
        assert!(hours.contains(date(2026, 11, 23).at(8, 0, 0, 0))); // Monday
        assert!(!hours.contains(date(2026, 11, 23).at(20, 0, 0, 0)));
        assert!(!hours.contains(date(2026, 11, 22).at(12, 0, 0, 0))); // Sunday noon
        assert!(hours.contains(date(2026, 11, 22).at(1, 59, 0, 0))); // Saturday's night
        assert!(!hours.contains(date(2026, 11, 22).at(2, 0, 0, 0)));
    }

    #[test]
    fn an_empty_timetable_is_always_on_duty() {
        assert!(OnDutyHours::parse("").unwrap().contains(date(2026, 11, 22).at(3, 0, 0, 0)));
    }

    #[test]
    fn a_mistake_is_named() {
        for bad in ["Mon", "Foo 08:00-09:00", "Mon 25:00-26:00", "Mon 08:00"] {
            assert!(OnDutyHours::parse(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }
}
