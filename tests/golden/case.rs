//! The file of recorded answers, `tests/data/simplejwt/golden.json`, as types, and with them those of `names.json` and
//! `wire.json`, which have the same form and no recording: what they expect, both sides must answer.
//!
//! Unknown members are errors: a case must not pass because a part of it was not understood.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) test_keys: TestKeys,
    pub(crate) users: Vec<User>,
    pub(crate) cases: Vec<Case>,
}

/// A file of cases that were not recorded.
#[derive(Deserialize)]
struct More {
    cases: Vec<Case>,
}

/// Published test keys.
#[derive(Deserialize, Clone)]
pub(crate) struct TestKeys {
    pub(crate) hs256_secret: String,
    pub(crate) another_hs256_secret: String,
    pub(crate) rs256_private_pem: String,
    pub(crate) rs256_public_pem: String,
}

/// One of the users who exist before each case.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) is_active: bool,
}

/// One case: steps in their order.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The letters of the profiles that it was recorded under.
    pub(crate) profiles: String,
    #[serde(rename = "level")]
    _level: String,
    #[serde(rename = "note")]
    _note: String,
    pub(crate) steps: Vec<Step>,
    /// Tokens to be made, by placeholder.
    #[serde(default)]
    pub(crate) tokens: Map<String, Value>,
    pub(crate) lifetimes: Option<Lifetimes>,
}

/// Token lifetimes that a case needs, in seconds.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lifetimes {
    pub(crate) access: u64,
    pub(crate) refresh: u64,
}

/// One step: exactly one of its kinds.
#[derive(Deserialize, Clone)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Step {
    Exchange {
        request: Request,
        response: Box<Response>,
        #[serde(default)]
        together: bool,
    },
    Admin {
        admin: Vec<Value>,
        answer: Value,
    },
    Wait {
        wait_seconds: f64,
    },
    WaitUntilExpired {
        wait_until_expired: String,
    },
}

/// A request with placeholders.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) json: Option<Value>,
    pub(crate) text: Option<String>,
}

/// What was answered, with placeholders.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Map<String, Value>,
    pub(crate) json: Option<Value>,
    #[serde(default)]
    pub(crate) empty: bool,
    #[serde(default)]
    pub(crate) tokens: Map<String, Value>,
}

/// How to make a token. See the section *Placeholders* of the format's description.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSpec {
    pub(crate) base: Option<String>,
    #[serde(default)]
    pub(crate) set: Map<String, Value>,
    #[serde(default)]
    pub(crate) drop: Vec<String>,
    pub(crate) header: Option<Value>,
    pub(crate) key: Option<String>,
    pub(crate) alg: Option<String>,
    pub(crate) payload_json: Option<Value>,
    pub(crate) payload_text: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) keep_segments: Option<usize>,
    pub(crate) signature: Option<String>,
    pub(crate) change_signature_character: Option<usize>,
}

impl Golden {
    pub(crate) fn read() -> Self {
        let mut golden: Self = serde_json::from_str(include_str!("../data/simplejwt/golden.json"))
            .expect("the recorded answers");
        for more in
            [include_str!("../data/simplejwt/names.json"), include_str!("../data/simplejwt/wire.json")]
        {
            let more: More = serde_json::from_str(more).expect("more cases");
            golden.cases.extend(more.cases);
        }
        golden
    }
}
