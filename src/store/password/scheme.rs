//! Which hashes a place of users takes, and which kind it makes and waits like.

use std::num::NonZeroU32;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::encoded::{self, Encoded, Hmac, pbkdf2_of, scrypt_of, sha256_hex};
use super::{PasswordHash, Verdict};
use crate::config::{DjangoHasher, DjangoPasswords};

/// OWASP's recommendation: 19 MiB, two passes, one lane.
const OWN: (u32, u32, u32) = (19_456, 2, 1);
/// Django's own: 100 MiB, two passes, eight lanes.
const DJANGO_ARGON2: (u32, u32, u32) = (102_400, 2, 8);
const DJANGO_BCRYPT_COST: u32 = 12;
/// `N` as a power of two, `r`, `p`.
const DJANGO_SCRYPT: (u8, u32, u32) = (14, 8, 5);
/// Characters of a new salt, and of one that is not too short: 22 of 62 are 130 bits.
const SALT: usize = 22;
/// As long as a new one.
const DECOY_SALT: &str = "nobodynobodynobodynobo";
const SALT_CHARACTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// What the passwords of a place of users are hashed with.
#[derive(Debug, Clone)]
pub enum Scheme {
    /// Tollgate's own table: argon2id as a PHC string, with the parameters that OWASP recommends.
    Own,
    /// Django's: those of its hashers that are named, of which the first makes new hashes.
    Django(Arc<DjangoPasswords>),
    /// A file: argon2 as a PHC string or bcrypt, never rewritten. Who is not in it costs as much as this hash, the
    /// [dearest](PasswordHash::dearest) in it.
    File(PasswordHash),
}

impl Scheme {
    /// Compares, and renews a hash that is not what would be made today. Takes the time of the scheme's own kind of
    /// hash if there is none to compare with.
    pub(super) fn compare(&self, password: &[u8], stored: &str) -> Verdict {
        let Some(encoded) = self.read(stored) else {
            // Its outcome must not count, but must not be optimized away either.
            std::hint::black_box(self.decoy().is_some_and(|decoy| decoy.matches(password)));
            return Verdict::Wrong;
        };
        if !encoded.matches(password) {
            self.spend_the_rest(&encoded, password);
            return Verdict::Wrong;
        }
        let renewed = if self.is_current(&encoded) { None } else { self.hash(password) };
        Verdict::Right { renewed }
    }

    pub(super) fn read(&self, stored: &str) -> Option<Encoded> {
        match self {
            Self::Own | Self::File(_) => Encoded::read(stored),
            Self::Django(passwords) => {
                let (hasher, encoded) = Encoded::read_django(stored)?;
                passwords.hashers.contains(&hasher).then_some(encoded)
            }
        }
    }

    /// What nobody's password is compared with.
    pub(super) fn decoy(&self) -> Option<Encoded> {
        match self {
            Self::Own => argon2_decoy(OWN),
            Self::File(hash) => Encoded::read(hash.as_stored()).or_else(|| argon2_decoy(OWN)),
            Self::Django(passwords) => match passwords.preferred() {
                DjangoHasher::Argon2 => argon2_decoy(DJANGO_ARGON2),
                DjangoHasher::Pbkdf2Sha256 => Some(pbkdf2_decoy(Hmac::Sha256, passwords.iterations)),
                DjangoHasher::Pbkdf2Sha1 => Some(pbkdf2_decoy(Hmac::Sha1, passwords.iterations)),
                hasher @ (DjangoHasher::BcryptSha256 | DjangoHasher::Bcrypt) => {
                    let text = format!("{}$$2b${DJANGO_BCRYPT_COST}${}", hasher.name(), ".".repeat(53));
                    Encoded::read_django(&text).map(|(_, decoy)| decoy)
                }
                DjangoHasher::Scrypt => {
                    let (log_n, r, p) = DJANGO_SCRYPT;
                    Some(Encoded::Scrypt { log_n, r, p, salt: DECOY_SALT.into(), digest: [0; 64].into() })
                }
                DjangoHasher::Md5 => Some(Encoded::Md5 { salt: DECOY_SALT.into(), digest: [0; 16] }),
            },
        }
    }

    /// A wrong password for a hash of fewer iterations than usual takes as long as one for a usual hash, and in a file
    /// about as long as one for the dearest hash.
    fn spend_the_rest(&self, encoded: &Encoded, password: &[u8]) {
        let passwords = match self {
            Self::Own => return,
            Self::File(_) => {
                let dearest = self.decoy().map_or(0, |decoy| decoy.work());
                encoded::spend(dearest.saturating_sub(encoded.work()));
                return;
            }
            Self::Django(passwords) => passwords,
        };
        let Encoded::Pbkdf2 { hmac, iterations, salt, .. } = encoded else { return };
        let rest = passwords.iterations.get().saturating_sub(iterations.get());
        if let Some(rest) = NonZeroU32::new(rest).filter(|_| self.is_preferred(encoded)) {
            std::hint::black_box(pbkdf2_of(*hmac, rest, salt, password));
        }
    }

    /// Whether new hashes are of this kind, whatever they cost.
    fn is_preferred(&self, encoded: &Encoded) -> bool {
        let Self::Django(passwords) = self else { return true };
        matches!(
            (passwords.preferred(), encoded),
            (DjangoHasher::Pbkdf2Sha256, Encoded::Pbkdf2 { hmac: Hmac::Sha256, .. })
                | (DjangoHasher::Pbkdf2Sha1, Encoded::Pbkdf2 { hmac: Hmac::Sha1, .. })
                | (DjangoHasher::Argon2, Encoded::Argon2 { .. })
                | (DjangoHasher::BcryptSha256, Encoded::Bcrypt { of_sha256: true, .. })
                | (DjangoHasher::Bcrypt, Encoded::Bcrypt { of_sha256: false, .. })
                | (DjangoHasher::Scrypt, Encoded::Scrypt { .. })
                | (DjangoHasher::Md5, Encoded::Md5 { .. })
        )
    }

    /// Whether a hash is kept: its kind, its cost and its salt are those of a new one.
    pub(super) fn is_current(&self, encoded: &Encoded) -> bool {
        match self {
            Self::File(_) => true,
            Self::Own => is_argon2id(encoded, OWN),
            Self::Django(passwords) if !passwords.rewrite => true,
            Self::Django(passwords) => {
                self.is_preferred(encoded)
                    && match encoded {
                        Encoded::Pbkdf2 { iterations, salt, .. } => {
                            *iterations == passwords.iterations && salt.len() >= SALT
                        }
                        Encoded::Argon2 { salt, .. } => {
                            is_argon2id(encoded, DJANGO_ARGON2) && salt.len() >= SALT
                        }
                        Encoded::Bcrypt { cost, .. } => *cost == DJANGO_BCRYPT_COST,
                        Encoded::Scrypt { log_n, r, p, .. } => (*log_n, *r, *p) == DJANGO_SCRYPT,
                        Encoded::Md5 { salt, .. } => salt.len() >= SALT,
                    }
            }
        }
    }

    /// A new hash. `None` for lack of memory or randomness, and for a file, which is not ours to write.
    pub(super) fn hash(&self, password: &[u8]) -> Option<PasswordHash> {
        let text = match self {
            Self::File(_) => return None,
            Self::Own => argon2id(OWN, |argon2| {
                let hash: phc::PasswordHash = argon2.hash_password(password).ok()?;
                Some(hash.to_string())
            })?,
            Self::Django(passwords) => django(passwords, password)?,
        };
        Some(PasswordHash::from_stored(text))
    }
}

fn django(passwords: &DjangoPasswords, password: &[u8]) -> Option<String> {
    let (hasher, iterations) = (passwords.preferred(), passwords.iterations);
    let name = hasher.name();
    let salt = new_salt()?;
    let pbkdf2 = |hmac| {
        let digest = STANDARD.encode(pbkdf2_of(hmac, iterations, &salt, password));
        format!("{name}${iterations}${salt}${digest}")
    };
    let bcrypt = |password: &[u8]| {
        let random = aws_lc_rs::rand::generate::<[u8; 16]>(&SystemRandom::new()).ok()?.expose();
        let hash = bcrypt::hash_with_salt_bytes(password, DJANGO_BCRYPT_COST, random).ok()?;
        Some(format!("{name}${}", std::str::from_utf8(&hash).ok()?))
    };
    match hasher {
        DjangoHasher::Pbkdf2Sha256 => Some(pbkdf2(Hmac::Sha256)),
        DjangoHasher::Pbkdf2Sha1 => Some(pbkdf2(Hmac::Sha1)),
        DjangoHasher::Argon2 => argon2id(DJANGO_ARGON2, |argon2| {
            let hash: phc::PasswordHash = argon2.hash_password_with_salt(password, salt.as_bytes()).ok()?;
            Some(format!("{name}{hash}"))
        }),
        DjangoHasher::BcryptSha256 => bcrypt(sha256_hex(password).as_bytes()),
        DjangoHasher::Bcrypt => bcrypt(password),
        DjangoHasher::Scrypt => {
            let (log_n, r, p) = DJANGO_SCRYPT;
            let digest = STANDARD.encode(scrypt_of(log_n, r, p, &salt, password)?);
            Some(format!("{name}${}${salt}${r}${p}${digest}", 1_u32 << log_n))
        }
        // Never made anew.
        DjangoHasher::Md5 => None,
    }
}

fn params((memory, passes, lanes): (u32, u32, u32)) -> Option<Params> {
    Params::new(memory, passes, lanes, Some(Params::DEFAULT_OUTPUT_LEN)).ok()
}

fn argon2id<T>(costs: (u32, u32, u32), work: impl FnOnce(&Argon2<'_>) -> Option<T>) -> Option<T> {
    work(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params(costs)?))
}

fn is_argon2id(encoded: &Encoded, costs: (u32, u32, u32)) -> bool {
    let Encoded::Argon2 { algorithm, version, params, .. } = encoded else { return false };
    (*algorithm, *version) == (Algorithm::Argon2id, Version::V0x13)
        && (params.m_cost(), params.t_cost(), params.p_cost()) == costs
}

fn argon2_decoy(costs: (u32, u32, u32)) -> Option<Encoded> {
    Some(Encoded::Argon2 {
        algorithm: Algorithm::Argon2id,
        version: Version::V0x13,
        params: params(costs)?,
        salt: DECOY_SALT.as_bytes().into(),
        digest: [0; 32].into(),
    })
}

fn pbkdf2_decoy(hmac: Hmac, iterations: NonZeroU32) -> Encoded {
    Encoded::Pbkdf2 { hmac, iterations, salt: DECOY_SALT.into(), digest: [0; 32].into() }
}

/// Letters and digits, each as likely as the others.
fn new_salt() -> Option<String> {
    let mut salt = String::with_capacity(SALT);
    while salt.len() < SALT {
        let random: [u8; 32] = aws_lc_rs::rand::generate(&SystemRandom::new()).ok()?.expose();
        // The lowest six bits, without the two values that 62 characters leave over.
        let characters = random.iter().filter_map(|byte| SALT_CHARACTERS.get(usize::from(byte & 63)));
        salt.extend(characters.map(|character| char::from(*character)).take(SALT - salt.len()));
    }
    Some(salt)
}
