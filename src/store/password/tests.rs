use std::future::Future;
use std::num::NonZeroU32;
use std::task::{Context, Waker};

use serde_json::Value;

use super::*;
use crate::config::{DjangoHasher, DjangoPasswords};

/// Hashes that Django made, with passwords that each takes and refuses.
const VECTORS: &str = include_str!("../../../tests/data/django/password-vectors.json");

fn password(text: &str) -> Secret {
    Secret::new(text)
}

fn passwords(cores: usize) -> Passwords {
    Passwords::new(Handle::current(), cores)
}

fn is_right(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Right { .. })
}

fn django(hashers: &[DjangoHasher], iterations: u32) -> Scheme {
    Scheme::Django(Arc::new(DjangoPasswords {
        hashers: hashers.to_vec(),
        iterations: NonZeroU32::new(iterations).unwrap(),
        rewrite: true,
    }))
}

#[tokio::test]
async fn verifies_the_password_it_hashed_and_no_other() {
    let passwords = passwords(1);
    let hash = passwords.hash(password("correct horse")).await.unwrap();
    assert!(hash.as_stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "the parameters are stored");
    for (given, expected) in [("correct horse", true), ("correct horsf", false), ("", false)] {
        let verdict = passwords.verify(password(given), Some(&hash), &Scheme::Own).await.unwrap();
        assert_eq!(is_right(&verdict), expected, "{given:?}");
    }
}

#[tokio::test]
async fn two_hashes_of_one_password_differ() {
    let passwords = passwords(2);
    let one = passwords.hash(password("x")).await.unwrap();
    let two = passwords.hash(password("x")).await.unwrap();
    assert_ne!(one.as_stored(), two.as_stored());
}

#[tokio::test]
async fn nobody_and_an_unreadable_hash_match_no_password() {
    let passwords = passwords(1);
    let unusable = PasswordHash::from_stored("!".to_owned());
    for hash in [None, Some(&unusable)] {
        let verdict = passwords.verify(password("x"), hash, &Scheme::Own).await.unwrap();
        assert!(!is_right(&verdict));
    }
}

#[test]
fn every_hash_that_django_made_takes_its_password_and_refuses_all_others() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let as_django = django(&DjangoHasher::DEFAULT, 1_000_000);
    let check = |vector: &Value| {
        let text = |name: &str| vector[name].as_str().unwrap();
        let encoded = text("encoded");
        let (hasher, read) = Encoded::read_django(encoded).expect(encoded);
        assert_eq!(hasher.name(), text("algorithm"));
        let given = text("password").as_bytes();
        assert!(read.matches(given), "{encoded}");
        // One is enough of those that take a second.
        let few = if vector["note"] == "this release's own parameters" { 1 } else { usize::MAX };
        for wrong in vector["wrong"].as_array().unwrap().iter().take(few) {
            assert!(!read.matches(wrong.as_str().unwrap().as_bytes()), "{encoded}: {wrong}");
        }
        let enabled = as_django.read(encoded);
        assert_eq!(enabled.is_some(), vector["enabled_by_default"].as_bool().unwrap(), "{encoded}");
        if let Some(enabled) = enabled {
            let renewed = !as_django.is_current(&enabled);
            assert_eq!(renewed, vector["rewritten_at_login"].as_bool().unwrap(), "{encoded}");
        }
    };
    std::thread::scope(|scope| {
        for half in vectors.chunks(vectors.len() / 2 + 1) {
            scope.spawn(move || half.iter().for_each(check));
        }
    });
    let seen: std::collections::BTreeSet<&str> =
        vectors.iter().map(|vector| vector["algorithm"].as_str().unwrap()).collect();
    assert_eq!(seen.len(), DjangoHasher::ALL.len(), "{seen:?}");
}

#[test]
fn what_django_takes_for_no_hash_accepts_nothing() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let scheme = django(&DjangoHasher::ALL, 1);
    for entry in vectors["accepts_nothing"].as_array().unwrap() {
        let encoded = entry["encoded"].as_str().unwrap();
        for given in ["", "!", "correct-horse", "abcd", encoded] {
            assert!(!is_right(&scheme.compare(given.as_bytes(), encoded)), "{encoded:?}: {given:?}");
        }
    }
}

#[test]
fn refuses_a_hash_whose_work_is_beyond_all_measure() {
    let zeros = format!("{}==", "A".repeat(86));
    let hashes = [
        "pbkdf2_sha256$4294967295$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        "pbkdf2_sha256$0$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        "argon2$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "argon2$argon2id$v=19$m=8192,t=4294967295,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "argon2$argon2id$v=19$m=8192,t=1,p=16777215$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "bcrypt_sha256$$2b$31$xy6S0ve1KSF4k/osLzffLebbbss7U8RhxaAOTBcAXrDxc2wt1gXse".to_owned(),
        format!("scrypt$1073741824$salt$8$1${zeros}"),
        format!("scrypt$16384$salt$8$1000000${zeros}"),
        format!("scrypt$16384$salt$4294967295$4294967295${zeros}"),
        format!("scrypt$16383$salt$8$1${zeros}"),
        format!("scrypt$0$salt$8$1${zeros}"),
        format!("scrypt$16384$salt$0$1${zeros}"),
    ];
    for hash in hashes {
        assert!(Encoded::read_django(&hash).is_none(), "{hash}");
    }
    assert!(Encoded::read_django(&format!("scrypt$16384$salt$8$1${zeros}")).is_some(), "the form is right");
}

#[test]
fn refuses_hashes_that_were_cut_short() {
    for hash in [
        "pbkdf2_sha256$1$salt$",
        "pbkdf2_sha256$1$salt$AAAA",
        "pbkdf2_sha256$+1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "pbkdf2_sha256$1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=$",
        "pbkdf2_sha1$1$salt$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "argon2$argon2id$v=19$m=512,t=1,p=2$ZWpLd1pJd3NSTVdjQ2N5cXc2eEhMRg",
        "argon2",
        "argon2$",
        "scrypt$1024$salt$8$1$AAAA",
        "md5$salt$+c5c8b5c27fd1d6d2b03a06b7ac4bc6e",
        "md5$salt$",
        "md5$salt$é5c8b5c27fd1d6d2b03a06b7ac4bc6ee",
        "bcrypt$$2b$12$",
        "bcrypt$",
        "$",
    ] {
        assert!(Encoded::read_django(hash).is_none(), "{hash}");
    }
}

#[test]
fn a_hash_by_each_hasher_for_new_passwords_is_one_that_it_keeps() {
    for hasher in DjangoHasher::ALL.into_iter().filter(|hasher| *hasher != DjangoHasher::Md5) {
        let scheme = django(&[hasher, DjangoHasher::Md5], 1_000);
        let Verdict::Right { renewed: Some(new) } =
            scheme.compare(b"correct-horse", "md5$sea-salt-9$3c5c8b5c27fd1d6d2b03a06b7ac4bc6e")
        else {
            panic!("{hasher:?} renews no md5");
        };
        assert!(new.as_stored().starts_with(&format!("{}$", hasher.name())), "{new:?}");
        let Verdict::Right { renewed: None } = scheme.compare(b"correct-horse", new.as_stored()) else {
            panic!("{hasher:?} does not keep what it made: {}", new.as_stored());
        };
        assert!(!is_right(&scheme.compare(b"correct-horsf", new.as_stored())), "{hasher:?}");
    }
}

#[test]
fn a_file_takes_bcrypt_as_htpasswd_writes_it_and_argon2() {
    let scheme = Scheme::File(PasswordHash::from_stored(String::new()));
    let bcrypt = bcrypt::hash_with_salt_bytes("correct-horse", 4, [7; 16]).unwrap();
    let bcrypt = std::str::from_utf8(&bcrypt).unwrap().replacen("$2b$", "$2y$", 1);
    let argon2 = Scheme::Own.hash(b"correct-horse").unwrap();
    for hash in [bcrypt.as_str(), argon2.as_stored()] {
        assert!(is_right(&scheme.compare(b"correct-horse", hash)), "{hash}");
        assert!(!is_right(&scheme.compare(b"correct-horsf", hash)), "{hash}");
    }
    for hash in ["$apr1$salt$hash", "{SHA}hash", "correct-horse", "$2x$04$xy6S0ve1KSF4k"] {
        assert!(!is_right(&scheme.compare(b"correct-horse", hash)), "{hash}");
    }
}

#[test]
fn nobody_is_compared_with_a_hash_as_it_would_be_made_today() {
    let schemes = DjangoHasher::DEFAULT.map(|hasher| django(&[hasher], 1_000));
    for scheme in schemes.into_iter().chain([Scheme::Own]) {
        let decoy = scheme.decoy().expect("a decoy");
        assert!(scheme.is_current(&decoy), "{scheme:?}");
    }
}

#[test]
fn nobody_takes_as_long_as_a_wrong_password() {
    let scheme = django(&[DjangoHasher::Pbkdf2Sha256], 200_000);
    let usual = scheme.hash(b"x").unwrap();
    let cheap = django(&[DjangoHasher::Pbkdf2Sha256], 1).hash(b"x").unwrap();
    let fastest = |stored: &str| {
        let once = || {
            let start = std::time::Instant::now();
            assert!(!is_right(&scheme.compare(b"y", stored)));
            start.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    let wrong = fastest(usual.as_stored());
    for stored in ["!", "", "pbkdf2_sha256$1000$salt", cheap.as_stored()] {
        let took = fastest(stored);
        assert!(took * 3 > wrong, "{stored:?}: {took:?} against {wrong:?}");
    }
}

#[test]
fn in_a_file_a_wrong_password_for_a_cheap_hash_takes_as_long_as_for_the_dearest() {
    let argon2 = |costs: &str| format!("$argon2id$v=19${costs},p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA");
    let bcrypt = |cost: &str| format!("$2y${cost}${}", ".".repeat(53));
    for (dear, cheap) in [
        (argon2("m=19456,t=4"), bcrypt("04")),
        (bcrypt("11"), argon2("m=8,t=1")),
        (bcrypt("11"), bcrypt("10")),
        (argon2("m=19456,t=4"), argon2("m=19456,t=2")),
    ] {
        let scheme = Scheme::File(PasswordHash::from_stored(dear.clone()));
        let fastest = |stored: &str| {
            let once = || {
                let start = std::time::Instant::now();
                assert!(!is_right(&scheme.compare(b"y", stored)));
                start.elapsed()
            };
            (0..5).map(|_| once()).min().unwrap()
        };
        let (dear_took, cheap_took) = (fastest(&dear), fastest(&cheap));
        assert!(cheap_took * 5 > dear_took * 2, "{cheap}: {cheap_took:?} against {dear_took:?} of {dear}");
        assert!(dear_took * 3 > cheap_took, "{cheap}: {cheap_took:?} against {dear_took:?} of {dear}");
    }
}

#[tokio::test]
async fn who_finds_the_queue_full_is_told_so() {
    let passwords = passwords(1);
    let _core = passwords.cores.acquire().await.unwrap();
    let mut waiting: Vec<_> = (0..=QUEUE).map(|_| Box::pin(passwords.hash(password("x")))).collect();
    for one in &mut waiting {
        assert!(one.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(matches!(passwords.hash(password("x")).await, Err(PasswordError::Busy)));
    drop(waiting);
    assert_eq!(passwords.queue.available_permits(), 1 + QUEUE, "who goes away leaves the queue");
}

#[test]
fn a_hash_is_never_printed() {
    let hash = PasswordHash::from_stored("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned());
    assert_eq!(format!("{hash:?}"), "[redacted]");
}
