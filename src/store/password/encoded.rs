//! The forms in which password hashes are kept, and the work that each asks for.
//!
//! What a database holds is not taken at its word: a hash whose parameters would cost more than a few seconds or
//! 256 MiB is no hash. Everything here is compared in constant time.

use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::config::DjangoHasher;

/// The most memory that one hash may need: Django's argon2 takes 100 MiB.
const MOST_MEMORY_KIB: u32 = 256 << 10;
/// Passes over memory, counted in KiB: some seconds.
const MOST_ARGON2_WORK: u64 = 4 << 20;
const MOST_LANES: u32 = 64;
/// Ten times as many as Django's newest release makes.
const MOST_ITERATIONS: u32 = 10_000_000;
/// Below it there is no bcrypt.
const LOWEST_BCRYPT_COST: u32 = 4;
/// Each step doubles the work; 12 is usual.
const HIGHEST_BCRYPT_COST: u32 = 16;
/// What argon2 goes over in the time of one round of bcrypt's key setup, in KiB.
const ARGON2_KIB_OF_BCRYPT: u64 = 80;
/// `N × r × p`; Django's is 655,360.
const MOST_SCRYPT_WORK: u64 = 8 << 20;
/// Longer than any form with any salt.
const LONGEST: usize = 1024;

/// A hash that was read, within the limits above.
#[derive(Clone)]
pub(super) enum Encoded {
    /// argon2id, argon2i or argon2d (RFC 9106).
    Argon2 { algorithm: Algorithm, version: Version, params: Params, salt: Box<[u8]>, digest: Box<[u8]> },
    /// PBKDF2 (RFC 8018, section 5.2).
    Pbkdf2 { hmac: Hmac, iterations: NonZeroU32, salt: Box<str>, digest: Box<[u8]> },
    /// bcrypt in its own form, of the password or of its SHA-256 in hexadecimal.
    Bcrypt { of_sha256: bool, cost: u32, text: Box<str> },
    /// scrypt (RFC 7914).
    Scrypt { log_n: u8, r: u32, p: u32, salt: Box<str>, digest: Box<[u8]> },
    /// MD5 of salt and password: no more than a checksum.
    Md5 { salt: Box<str>, digest: [u8; 16] },
}

/// The keyed hash within PBKDF2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hmac {
    Sha1,
    Sha256,
}

impl Hmac {
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

impl Encoded {
    /// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, or bcrypt as `crypt` and htpasswd write it.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text.get(..4)? {
            "$2a$" | "$2b$" | "$2y$" => bcrypt(text, false),
            _ => argon2(text),
        }
    }

    /// Django's forms, by the name at their start.
    pub(super) fn read_django(text: &str) -> Option<(DjangoHasher, Self)> {
        if text.len() > LONGEST {
            return None;
        }
        let (name, rest) = text.split_once('$')?;
        let hasher = DjangoHasher::ALL.into_iter().find(|hasher| hasher.name() == name)?;
        let encoded = match hasher {
            DjangoHasher::Pbkdf2Sha256 => pbkdf2(rest, Hmac::Sha256),
            DjangoHasher::Pbkdf2Sha1 => pbkdf2(rest, Hmac::Sha1),
            DjangoHasher::Argon2 => argon2(&text[name.len()..]),
            DjangoHasher::BcryptSha256 => bcrypt(rest, true),
            DjangoHasher::Bcrypt => bcrypt(rest, false),
            DjangoHasher::Scrypt => scrypt(rest),
            DjangoHasher::Md5 => md5(rest),
        };
        Some((hasher, encoded?))
    }

    /// About how much work a comparison is, for the kinds of hashes that a file may hold: in KiB that argon2 goes over.
    pub(super) fn work(&self) -> u64 {
        match self {
            Self::Argon2 { params, .. } => u64::from(params.m_cost()) * u64::from(params.t_cost()),
            Self::Bcrypt { cost, .. } => ARGON2_KIB_OF_BCRYPT << (*cost).min(HIGHEST_BCRYPT_COST),
            Self::Pbkdf2 { .. } | Self::Scrypt { .. } | Self::Md5 { .. } => 0,
        }
    }

    /// Whether this is the hash of the password. As much work for any other.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2 { algorithm, version, params, salt, digest } => {
                let mut computed = vec![0; digest.len()];
                Argon2::new(*algorithm, *version, params.clone())
                    .hash_password_into(password, salt, &mut computed)
                    .is_ok_and(|()| same(&computed, digest))
            }
            Self::Pbkdf2 { hmac, iterations, salt, digest } => {
                same(&pbkdf2_of(*hmac, *iterations, salt, password), digest)
            }
            Self::Bcrypt { of_sha256: true, text, .. } => {
                bcrypt::verify(sha256_hex(password), text).unwrap_or(false)
            }
            Self::Bcrypt { of_sha256: false, text, .. } => bcrypt::verify(password, text).unwrap_or(false),
            Self::Scrypt { log_n, r, p, salt, digest } => {
                scrypt_of(*log_n, *r, *p, salt, password).is_some_and(|computed| same(&computed, digest))
            }
            Self::Md5 { salt, digest } => {
                let computed = Md5::new().chain_update(salt.as_bytes()).chain_update(password).finalize();
                same(&computed, digest)
            }
        }
    }
}

/// Does so much [work](Encoded::work), by bcrypt: what a round of it takes depends on nothing but the core.
pub(super) fn spend(work: u64) {
    let rounds = work / ARGON2_KIB_OF_BCRYPT;
    for cost in (LOWEST_BCRYPT_COST..=HIGHEST_BCRYPT_COST).filter(|cost| (rounds >> cost) & 1 == 1) {
        let hash = bcrypt(&format!("$2b${cost:02}${}", ".".repeat(53)), false);
        std::hint::black_box(hash.is_some_and(|hash| hash.matches(b"nobody")));
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// PBKDF2 as Django runs it: as many bytes as the hash function gives.
pub(super) fn pbkdf2_of(hmac: Hmac, iterations: NonZeroU32, salt: &str, password: &[u8]) -> Vec<u8> {
    let algorithm = match hmac {
        Hmac::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Hmac::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
    };
    let mut computed = vec![0; hmac.length()];
    pbkdf2::derive(algorithm, iterations, salt.as_bytes(), password, &mut computed);
    computed
}

/// scrypt as Django runs it: 64 bytes.
pub(super) fn scrypt_of(log_n: u8, r: u32, p: u32, salt: &str, password: &[u8]) -> Option<[u8; 64]> {
    let params = scrypt::Params::new(log_n, r, p).ok()?;
    let mut computed = [0; 64];
    scrypt::scrypt(password, salt.as_bytes(), &params, &mut computed).ok()?;
    Some(computed)
}

/// What `bcrypt_sha256` hands to bcrypt: 64 characters, so none of the password is cut off.
pub(super) fn sha256_hex(password: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, password).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn argon2(text: &str) -> Option<Encoded> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let algorithm = Algorithm::new(hash.algorithm.as_str()).ok()?;
    // Hashes without a version were made before there was another (RFC 9106 is 19).
    let version = match hash.version {
        Some(version) => Version::try_from(version).ok()?,
        None => Version::V0x10,
    };
    let params = Params::try_from(&hash).ok()?;
    let (salt, digest) = (hash.salt?, hash.hash?);
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    let bounded = params.m_cost() <= MOST_MEMORY_KIB
        && work <= MOST_ARGON2_WORK
        && params.p_cost() <= MOST_LANES
        && digest.len() >= 16;
    bounded.then(|| Encoded::Argon2 {
        algorithm,
        version,
        params,
        salt: salt.as_ref().into(),
        digest: digest.as_bytes().into(),
    })
}

fn pbkdf2(fields: &str, hmac: Hmac) -> Option<Encoded> {
    let [iterations, salt, digest] = split(fields)?;
    let iterations = number(iterations).filter(|iterations| *iterations <= MOST_ITERATIONS)?;
    let digest = STANDARD.decode(digest).ok().filter(|digest| digest.len() == hmac.length())?;
    let iterations = NonZeroU32::new(iterations)?;
    Some(Encoded::Pbkdf2 { hmac, iterations, salt: salt.into(), digest: digest.into() })
}

fn bcrypt(text: &str, of_sha256: bool) -> Option<Encoded> {
    let known = ["$2a$", "$2b$", "$2y$"].into_iter().any(|prefix| text.starts_with(prefix));
    let cost = text.parse::<bcrypt::HashParts>().ok().filter(|_| known)?.get_cost();
    (cost <= HIGHEST_BCRYPT_COST).then(|| Encoded::Bcrypt { of_sha256, cost, text: text.into() })
}

fn scrypt(fields: &str) -> Option<Encoded> {
    let [n, salt, r, p, digest] = split(fields)?;
    let (n, r, p) = (number(n)?, number(r)?, number(p)?);
    let memory_kib = u64::from(n).checked_mul(u64::from(r))?.checked_mul(128)? >> 10;
    let work = u64::from(n).checked_mul(u64::from(r))?.checked_mul(u64::from(p))?;
    let log_n = u8::try_from(n.checked_ilog2()?).ok()?;
    let bounded = n.is_power_of_two()
        && n > 1
        && (1..=MOST_SCRYPT_WORK).contains(&work)
        && memory_kib <= u64::from(MOST_MEMORY_KIB);
    let digest = STANDARD.decode(digest).ok().filter(|digest| bounded && digest.len() == 64)?;
    Some(Encoded::Scrypt { log_n, r, p, salt: salt.into(), digest: digest.into() })
}

fn md5(fields: &str) -> Option<Encoded> {
    let [salt, written] = split(fields)?;
    let mut digest = [0; 16];
    if written.len() != 32 || !written.is_ascii() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(0..) {
        let pair = written.get(2 * pair..2 * pair + 2)?;
        // A sign would be taken for a digit.
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.contains('+'))?;
    }
    Some(Encoded::Md5 { salt: salt.into(), digest })
}

/// Exactly so many fields between dollar signs.
fn split<const N: usize>(fields: &str) -> Option<[&str; N]> {
    fields.split('$').collect::<Vec<_>>().try_into().ok()
}

/// Digits alone: neither sign nor blanks.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
