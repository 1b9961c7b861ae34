use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::jwt::Claims;

const NOW: UnixTime = UnixTime(1_700_000_000);
const INPUT: &[u8] = b"header.payload";

fn later(seconds: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(seconds))
}

fn claims(value: Value) -> Claims {
    let Value::Object(members) = value else { panic!("an object") };
    Claims::from_members(members).expect("claims")
}

fn of_us() -> Option<String> {
    Some("us".to_owned())
}

fn token(jti: &str) -> Revoked {
    Revoked::Token { issuer: of_us(), jti: jti.to_owned() }
}

fn until(what: Revoked, seconds: u64) -> Revocation {
    Revocation { what, expires_at: later(seconds) }
}

/// Whether an index with this one revocation ends a token.
fn ends(what: Revoked, token: Value) -> bool {
    let index = Revocations::new(true);
    assert_eq!(index.add(&[until(what, 60)], NOW), 1);
    index.is_revoked(&index.names(&claims(token), INPUT), NOW)
}

#[test]
fn a_token_is_ended_by_its_own_name_its_session_and_its_subject() {
    let session = || Revoked::Session { issuer: of_us(), sid: "s".to_owned() };
    let subject =
        |before| Revoked::Subject { issuer: of_us(), subject: "7".to_owned(), before: UnixTime(before) };
    let ours = || json!({"iss": "us", "jti": "j", "sid": "s", "sub": "7", "iat": 10});
    assert!(ends(token("j"), ours()));
    assert!(ends(session(), ours()));
    assert!(ends(subject(11), ours()));
    for user_id in [json!("7"), json!(7)] {
        assert!(ends(subject(11), json!({"iss": "us", "jti": "j", "user_id": user_id, "iat": 10})));
    }
    // Who does not say when it was issued could be from before.
    assert!(ends(subject(0), json!({"iss": "us", "jti": "j", "sub": "7"})));
    assert!(!ends(subject(10), ours()), "issued in that second");
    for other in [json!({"iss": "us", "jti": "k", "sid": "t", "sub": "8", "iat": 10}), json!({"iss": "us"})] {
        for what in [token("j"), session(), subject(11)] {
            assert!(!ends(what.clone(), other.clone()), "{what:?} {other}");
        }
    }
}

#[test]
fn a_name_is_its_issuers_and_of_its_kind() {
    for other in [
        json!({"iss": "them", "jti": "j"}),
        json!({"jti": "j"}),
        json!({"iss": "us", "jti": "x", "sid": "j", "sub": "j"}),
        json!({"iss": "usj", "jti": ""}),
    ] {
        assert!(!ends(token("j"), other.clone()), "{other}");
    }
    let of_nobody = Revoked::Token { issuer: None, jti: "j".to_owned() };
    assert!(ends(of_nobody.clone(), json!({"jti": "j"})));
    assert!(!ends(of_nobody, json!({"iss": "", "jti": "j"})));
}

#[test]
fn a_token_without_a_jti_is_ended_by_what_was_signed() {
    let input = |input: &[u8]| Naming::default().token(&claims(json!({})), input);
    assert!(matches!(input(INPUT), Revoked::Input { .. }));
    assert!(ends(input(INPUT), json!({"iss": "us", "sub": "7"})));
    assert!(!ends(input(INPUT), json!({"jti": "j"})));
    assert!(!ends(input(b"header.other"), json!({})));
}

#[test]
fn our_own_tokens_may_name_themselves_and_their_user_in_other_claims() {
    let form = crate::config::TokenForm {
        jti_claim: "token_id".to_owned(),
        user_id_claim: "uid".to_owned(),
        ..crate::config::TokenForm::usual()
    };
    let ours = claims(json!({"token_id": "j", "uid": 7}));
    let subject = Revoked::Subject { issuer: None, subject: "7".to_owned(), before: NOW };
    let jti = Revoked::Token { issuer: None, jti: "j".to_owned() };
    assert_eq!(Naming::of(&form).token(&ours, INPUT), jti);
    for what in [jti, subject] {
        let index = Revocations::named(Naming::of(&form), true);
        index.add(&[until(what, 60)], NOW);
        assert!(index.is_revoked(&index.names(&ours, INPUT), NOW));
    }
}

#[test]
fn an_entry_leaves_when_its_tokens_have_expired() {
    let index = Revocations::new(true);
    index.add(&[until(token("short"), 10), until(token("long"), 20)], NOW);
    let names = |jti: &str| index.names(&claims(json!({"iss": "us", "jti": jti})), INPUT);
    assert!(index.is_revoked(&names("short"), later(9)) && !index.is_revoked(&names("short"), later(10)));
    index.sweep(later(9));
    assert_eq!(index.len(), 2);
    index.sweep(later(10));
    assert_eq!(index.len(), 1);
    assert!(index.is_revoked(&names("long"), later(19)));
    assert_eq!(index.add(&[until(token("past"), 10)], later(10)), 0, "it would end nothing");
}

#[test]
fn the_epoch_moves_with_news_and_only_with_news() {
    let index = Revocations::new(true);
    let start = index.epoch();
    index.add(&[], NOW);
    assert_eq!(index.epoch(), start);
    assert_eq!(index.add(&[until(token("a"), 10)], NOW), 1);
    let first = index.epoch();
    assert_ne!(first, start);
    assert_eq!(index.add(&[until(token("a"), 10), until(token("a"), 5)], NOW), 0);
    index.sweep(later(1));
    assert_eq!(index.epoch(), first);
    assert_eq!(index.add(&[until(token("a"), 11)], NOW), 1, "it is void for longer");
    assert_ne!(index.epoch(), first);
}

#[test]
fn thousands_are_found_and_nothing_else() {
    let index = Revocations::new(true);
    let revocations: Vec<_> = (0..20_000).map(|number| until(token(&number.to_string()), 60)).collect();
    for batch in revocations.chunks(1_700) {
        assert_eq!(index.add(batch, NOW), batch.len());
    }
    assert_eq!(index.len(), 20_000);
    let is_revoked = |number: u32| {
        index.is_revoked(&index.names(&claims(json!({"iss": "us", "jti": number.to_string()})), INPUT), NOW)
    };
    assert!((0..20_000).all(is_revoked));
    assert!(!(20_000..40_000).any(is_revoked));
    index.sweep(later(60));
    assert!(index.is_empty());
}

#[test]
fn a_million_entries_take_less_than_128_mib() {
    let index = Revocations::new(true);
    let revocations: Vec<_> =
        (0..1_000_000_u32).map(|number| until(token(&format!("{number:x}")), 60)).collect();
    assert_eq!(index.add(&revocations, NOW), 1_000_000);
    assert!(index.memory() <= 128 << 20, "{} MiB", index.memory() >> 20);
}

/// Whoever sees the epoch of an entry finds the entry.
#[test]
fn readers_on_other_threads_never_miss_what_was_added() {
    let index = Revocations::new(true);
    let names: Vec<_> = (0..2_000)
        .map(|number| index.names(&claims(json!({"iss": "us", "jti": number.to_string()})), INPUT))
        .collect();
    let start = index.epoch().0;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < names.len() {
                    seen = usize::try_from(index.epoch().0 - start).expect("small");
                    assert!(names[..seen].iter().rev().take(50).all(|names| index.is_revoked(names, NOW)));
                }
            });
        }
        for number in 0..names.len() {
            index.add(&[until(token(&number.to_string()), 60)], NOW);
        }
    });
}
