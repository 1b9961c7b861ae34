//! Dates and times as people write them (RFC 3339).

use super::UnixTime;

/// Days from 0000-03-01 to 1970-01-01 in the Gregorian calendar.
const EPOCH: i64 = 719_468;

/// Reads a time such as `2027-01-31T12:00:00Z`, or a date such as `2027-01-31`, which stands for its end in UTC: the first
/// second of the day after. Fractions of a second are cut off, and a leap second is the one after it.
#[must_use]
pub fn parse_date_or_time(text: &str) -> Option<UnixTime> {
    let date = text.get(..10).filter(|date| date.is_ascii())?;
    let days = days(number(&date[..4])?, &date[4..])?;
    let time = &text[10..];
    if time.is_empty() {
        return Some(UnixTime((days + 1) * 86_400));
    }
    let time = time.strip_prefix(['T', 't', ' '])?;
    let clock = time.get(..8).filter(|clock| clock.is_ascii())?;
    let seconds = seconds(clock)?;
    let zone = match time[8..].strip_prefix('.') {
        None => &time[8..],
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            &fraction[digits..]
        }
    };
    Some(UnixTime(days * 86_400 + seconds - offset(zone)?))
}

fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Since 1970; `rest` is `-MM-DD`.
fn days(year: i64, rest: &str) -> Option<i64> {
    let (month, day) = rest.strip_prefix('-')?.split_once('-')?;
    let (month, day) = (number(month)?, number(day)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - EPOCH)
}

/// `HH:MM:SS`.
fn seconds(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let mut part =
        |most| parts.next().filter(|part| part.len() == 2).and_then(number).filter(|part| *part <= most);
    let (hours, minutes, seconds) = (part(23)?, part(59)?, part(60)?);
    Some(hours * 3600 + minutes * 60 + seconds)
}

/// `Z` or `+HH:MM`, in seconds.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    Some(sign * seconds(&format!("{}:00", &zone[1..]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        parse_date_or_time(text).map(|time| time.0)
    }

    #[test]
    fn a_date_lasts_to_its_end() {
        assert_eq!(read("1970-01-01"), Some(86_400));
        assert_eq!(read("2027-01-31"), read("2027-02-01T00:00:00Z"));
        assert_eq!(read("2024-02-29"), read("2024-03-01T00:00:00Z"));
    }

    #[test]
    fn reads_times_with_their_zone() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2001-09-09T01:46:40Z"), Some(1_000_000_000));
        assert_eq!(read("2001-09-09t03:46:40.999+02:00"), Some(1_000_000_000));
        assert_eq!(read("2001-09-08 20:16:40-05:30"), Some(1_000_000_000));
        assert_eq!(read("2000-02-29T00:00:00Z"), Some(951_782_400));
        assert_eq!(read("9999-12-31T23:59:60Z"), Some(253_402_300_800));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "2027",
            "2027-1-31",
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
            "2027-01-31T",
            "2027-01-31T12:00Z",
            "2027-01-31T12:00:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:00:00.Z",
            "2027-01-31T12:00:00+2",
            "2027-01-31T12:00:00Zx",
            "+027-01-31",
            "２027-01-31",
            "2027-01-31é",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
