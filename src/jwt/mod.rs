//! Decides whether a token is good. Pure and synchronous: no I/O, no clock, no logging.
//!
//! [`parse`] reads it, [`verify()`] finds the key that signed it, [`Policy::check`] judges what it says. The caller
//! brings the text, the [`KeySet`] and the time. [`SigningKey`] makes our own tokens.
//!
//! # Attacks, and the answer to each
//!
//! Those of RFC 8725, of Project Wycheproof, and those that libraries fell to. Each has its test, in `attacks.rs`
//! where no other place is named; `tests/vectors` runs the published vectors and compares with jsonwebtoken.
//!
//! | attack | answer | test |
//! | --- | --- | --- |
//! | `alg: none`, in any spelling | [`Algorithm`](crate::base::Algorithm) has no such value | `refuses_alg_none_in_any_spelling` |
//! | the signature left out | an empty one is a wrong one | `an_empty_signature_is_no_signature` |
//! | a public key used as HMAC secret (RFC 8725, 2.1) | a key is of one family, and the provider lists its algorithms | `a_public_key_is_never_an_hmac_secret`, `a_key_never_serves_another_family` |
//! | a weaker algorithm of the same family | the list, and the `alg` of the JWK | `an_algorithm_that_is_not_listed_is_refused_before_any_key_is_tried`, `a_jwk_that_names_its_alg_serves_no_other` |
//! | the token brings or names its key: `jwk`, `jku`, `x5u`, `x5c` | never read | `a_token_never_brings_its_own_key` |
//! | `kid` as path, URL or query | it is compared with the names of known keys, nothing else | `a_kid_only_ever_names_a_key_of_the_set` |
//! | a secret in a fetched key set | never a key | `a_fetched_secret_is_never_a_key` |
//! | a private key in a fetched key set | never a key | `key.rs`: `a_private_key_on_the_network_is_nobodys` |
//! | a key for encryption used for signatures | `use` and `key_ops` are honoured | `key.rs`: `skips_a_jwk_that_is_not_for_verifying` |
//! | weak keys: short RSA, exponent 1, short secrets (RFC 8725, 3.5) | skipped when the set is read | `key.rs`: `an_rsa_modulus_has_2048_to_8192_bits`, `skips_a_malformed_jwk_and_says_why`, `an_oct_key_is_as_long_as_its_hash` |
//! | an RSA key so large that it burns the CPU | 8192 bits at most | `key.rs`: `an_rsa_modulus_has_2048_to_8192_bits` |
//! | invalid curve, point off the curve (RFC 8725, 2.5) | refused when the set is read | `a_point_off_the_curve_is_no_key` |
//! | another curve than the key's | one algorithm, one curve | `curves_are_not_interchangeable` |
//! | ECDSA with zeros (CVE-2022-21449), or in ASN.1 form | aws-lc-rs, fixed `r‖s` only | `an_ecdsa_signature_of_zeros_is_refused`, `an_ecdsa_signature_in_asn1_form_is_refused` |
//! | padding oracles and forged PKCS#1 padding | aws-lc-rs | `tests/vectors`: `rs256_signatures_have_their_published_verdicts` |
//! | timing of the HMAC comparison | constant time, by aws-lc-rs | none: chance would judge it |
//! | extensions by `crit`, or an unencoded payload by `b64` (RFC 7797) | all refused | `refuses_extensions_that_change_what_is_signed` |
//! | an encrypted token, or one within (RFC 8725, 3.8; decompression, 3.6) | refused | `refuses_encrypted_tokens` |
//! | JSON that two parsers read differently (RFC 8725, 2.4) | no two members of one name, at any depth | `refuses_json_that_two_parsers_read_differently` |
//! | one token in many spellings, past a block list or a cache | canonical base64url, exactly three segments | `two_texts_are_never_one_token` |
//! | the twin `(r, n - s)` of an ECDSA signature | it verifies, as the RFC has it: revocation goes by `jti`, not by text | `tests/vectors`: `the_twin_of_an_ecdsa_signature_is_judged_as_jsonwebtoken_judges_it` |
//! | huge tokens | refused by length, before any work | `a_huge_token_costs_a_look_at_its_length` |
//! | deep nesting, endless numbers | bounded, refused | `deep_nesting_and_huge_numbers_are_refused_without_harm` |
//! | collisions of member names in the parser's maps | `serde_json` keys its hash at random | none: it is the library's |
//! | no `kid`, and a set of a hundred keys | four tries at most | `at_most_four_keys_are_tried` |
//! | a token signed by a key that was withdrawn | a key's live flag | `a_retired_key_ends_its_tokens` |
//! | a token for someone else (RFC 8725, 3.9) | `aud` is required of every provider but our own | `policy_tests.rs`: `one_audience_of_ours_must_be_named` |
//! | a token of another issuer (RFC 8725, 3.8) | byte by byte | `policy_tests.rs`: `the_issuer_is_compared_byte_by_byte` |
//! | a token of another kind: refresh, logout, proof (RFC 8725, 2.8) | `token_type` and `typ` | `policy_tests.rs`: `a_refresh_token_is_never_good_for_access`, `tokens_of_other_kinds_are_refused_by_their_typ` |
//! | a token that never ends | `exp` is required | `policy_tests.rs`: `a_token_without_exp_is_refused` |
//! | claims of odd types, past a loose comparison | registered claims have their types | `claims.rs`: `refuses_registered_claims_of_the_wrong_type` |
//! | secrets and tokens in logs | no `Debug` shows them | `nothing_prints_a_key_or_a_token` |
//! | replay of a rotated refresh token | the issuer's and the store's part, not this one's | `issuer` |

mod claims;
mod der;
mod error;
mod json;
mod jwk;
mod jws;
mod key;
mod key_set;
mod material;
mod pem;
mod policy;
mod signing_key;
mod token;
mod verify;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod samples;

pub use claims::Claims;
pub use error::ParseError;
pub use jwk::thumbprint;
pub use jws::{Jws, Limits};
#[cfg(test)]
pub(crate) use key::signature_checks;
pub use key::{Key, KeyError, Origin};
pub use key_set::{JwksError, KeySet, KeySetId, SkippedKey};
pub use policy::{Policy, PolicyError};
pub use signing_key::{HeaderForm, SigningError, SigningKey};
pub use token::{Token, claimed_issuer, parse, parse_object};
pub use verify::{VerifyError, verify, verify_jws};
