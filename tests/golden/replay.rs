//! Replays one case and compares every answer.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::case::{self, Case, Step, TestKeys, TokenSpec};
use crate::elsewhere;
use crate::profile::Profile;
use crate::tokens;
use crate::wire::{PROTECTED, Sent, Wire, now};

/// How far the two clocks may be apart, in seconds.
const CLOCK_TOLERANCE: i32 = 2;

/// The claims of a token, in this order.
const ORDER: [&str; 14] = [
    "token_type",
    "tt",
    "exp",
    "iat",
    "jti",
    "tid",
    "refresh_exp",
    "rexp",
    "user_id",
    "sub",
    "hash_password",
    "hp",
    "aud",
    "iss",
];

/// The header fields that a case speaks of: all that it does not list must be absent, but for `Vary`, to which the
/// recorded site's middleware adds in some. Any other field is the site's own.
const COMPARED_HEADERS: [&str; 7] =
    ["allow", "cache-control", "content-type", "location", "set-cookie", "vary", "www-authenticate"];

/// What the steps of one case have in common.
pub(crate) struct Replay {
    wire: Wire,
    profile: Profile,
    keys: TestKeys,
    /// Alice's fingerprint, where the profile's tokens have one.
    fingerprint: Option<String>,
    specs: Map<String, Value>,
    /// The texts of placeholders, e.g. of `<access:2>`.
    texts: HashMap<String, String>,
    /// The values of `{"$jti": n}`.
    jtis: HashMap<u64, String>,
    /// The values of `{"$user_id": "<name>"}`.
    users: HashMap<String, String>,
    /// When the case, and when the present step of it, began: a busy machine takes its time.
    began: Duration,
    step_began: Duration,
}

impl Replay {
    pub(crate) fn new(wire: Wire, profile: Profile, keys: TestKeys) -> Self {
        Self {
            wire,
            profile,
            keys,
            fingerprint: None,
            specs: Map::new(),
            texts: HashMap::new(),
            jtis: HashMap::new(),
            users: HashMap::new(),
            began: now(),
            step_began: now(),
        }
    }

    pub(crate) fn run(mut self, case: Case) -> Result<(), String> {
        self.specs = case.tokens;
        let mut steps = case.steps.into_iter().enumerate().peekable();
        while let Some((index, step)) = steps.next() {
            let played = if is_together(&step) {
                let mut several = vec![step];
                while let Some((_, step)) = steps.next_if(|(_, step)| is_together(step)) {
                    several.push(step);
                }
                self.together(several)
            } else {
                self.step(step)
            };
            played.map_err(|error| format!("step {}: {error}", index + 1))?;
        }
        Ok(())
    }

    /// Exchanges at once, whose answers may come in any order but are alike.
    fn together(&mut self, steps: Vec<Step>) -> Result<(), String> {
        self.step_began = now();
        let mut exchanges = Vec::new();
        for step in steps {
            let Step::Exchange { request, response, .. } = step else { return Err("no exchange".to_owned()) };
            exchanges.push((self.filled_request(&request)?, response));
        }
        let (sent, expected): (Vec<_>, Vec<_>) = exchanges.into_iter().unzip();
        let answers = self.wire.send_together(&sent);
        expected.iter().zip(&answers).try_for_each(|(expected, answer)| self.compare(expected, answer, false))
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        self.step_began = now();
        match step {
            Step::Exchange { request, response, .. } => {
                let sent = self.filled_request(&request)?;
                let answer = self.wire.send(&sent);
                let protected = sent.path.starts_with(PROTECTED);
                self.compare(&response, &answer, protected)
                    .map_err(|error| format!("{error}\n  request: {sent:?}\n  answer: {answer:?}"))
            }
            Step::Admin { admin, answer } => {
                let act: Vec<Value> = admin.iter().map(|value| self.filled(value)).collect();
                let found = self.wire.admin(&act);
                if let Some(name) = answer.get("$user_id").and_then(Value::as_str) {
                    self.users.insert(name.to_owned(), plain(&found));
                    return Ok(());
                }
                if let Some(name) = answer.as_str().filter(|name| name.starts_with('<'))
                    && !self.texts.contains_key(name)
                {
                    self.texts.insert(name.to_owned(), plain(&found));
                    return Ok(());
                }
                self.compare_act(&answer, &found)
            }
            Step::Wait { wait_seconds } => {
                self.wire.wait(Duration::from_secs_f64(wait_seconds));
                Ok(())
            }
            Step::WaitUntilExpired { wait_until_expired } => {
                let token = self.text(&wait_until_expired);
                let exp = tokens::take_apart(&token, self.profile, &self.keys)?.claims["exp"]
                    .as_u64()
                    .expect("exp");
                let until = Duration::from_secs(exp) + Duration::from_millis(200);
                self.wire.wait(until.saturating_sub(now()));
                Ok(())
            }
        }
    }

    fn filled_request(&mut self, request: &case::Request) -> Result<Sent, String> {
        let body = match (&request.json, &request.text) {
            (Some(json), None) => self.filled(json).to_string(),
            (None, Some(text)) => self.filled_text(text),
            (None, None) => String::new(),
            (Some(_), Some(_)) => return Err("two bodies".to_owned()),
        };
        let path = self.filled_text(&request.path);
        let fields =
            request.headers.iter().map(|(name, value)| (name.clone(), self.filled_text(value))).collect();
        Ok(Sent { method: request.method.clone(), path, fields, body })
    }

    /// What an act returned: times are told in words.
    fn compare_act(&mut self, expected: &Value, found: &Value) -> Result<(), String> {
        if let (Some(members), Some(row)) = (expected.as_object(), found.as_object()) {
            if !members.keys().eq(row.keys()) {
                return Err(format!("the act's answer: {found}, not {expected}"));
            }
            return members.iter().zip(row.values()).try_for_each(|((name, expected), found)| {
                if name != "expires_at" {
                    return self.compare_act(expected, found);
                }
                let token = row["token"].as_str().unwrap_or_default();
                let exp = tokens::take_apart(token, self.profile, &self.keys)?.claims["exp"].as_f64();
                if exp == found.as_f64() { Ok(()) } else { Err(format!("expires_at {found}, not {exp:?}")) }
            });
        }
        if expected.as_str().is_some_and(|text| text.starts_with("the time of ")) {
            let tolerance = f64::from(CLOCK_TOLERANCE);
            let within = self.began.as_secs_f64() - tolerance..=now().as_secs_f64() + tolerance;
            let fits = found.as_f64().is_some_and(|time| within.contains(&time));
            return if fits { Ok(()) } else { Err(format!("{found}, not {expected}")) };
        }
        self.compare_json(expected, found, "the act's answer")
    }

    fn compare(
        &mut self,
        expected: &case::Response,
        answer: &Response<Bytes>,
        protected: bool,
    ) -> Result<(), String> {
        if answer.status().as_u16() != expected.status {
            return Err(format!("status {}, not {}", answer.status(), expected.status));
        }
        let refused_before = protected && expected.status == 401 && self.wire.is_ours();
        let unknown = if refused_before { &elsewhere::UNKNOWN_TO_THE_GATEWAY[..] } else { &[] };
        compare_headers(&expected.headers, answer.headers(), unknown)?;
        if expected.empty {
            return if answer.body().is_empty() { Ok(()) } else { Err("a body".to_owned()) };
        }
        let text = std::str::from_utf8(answer.body()).map_err(|error| error.to_string())?;
        let found: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        let compact = found.to_string();
        if compact != text {
            return Err(format!("not compact, or escaped without need: {text}"));
        }
        let expected_json = expected.json.as_ref().ok_or("a case without a body")?;
        self.bind(expected_json, &found, &expected.tokens)?;
        self.compare_json(expected_json, &found, "the body")?;
        for (name, token) in &expected.tokens {
            self.compare_token(name, &token["claims"])?;
        }
        Ok(())
    }

    fn compare_token(&mut self, name: &str, expected: &Value) -> Result<(), String> {
        let text = self.text(name);
        let parts = tokens::take_apart(&text, self.profile, &self.keys)?;
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.profile.algorithm());
        if parts.header != header.as_bytes() {
            return Err(format!("header {}", String::from_utf8_lossy(&parts.header)));
        }
        let order: Vec<&String> = parts.claims.keys().filter(|name| ORDER.contains(&name.as_str())).collect();
        if !order.iter().is_sorted_by_key(|name| ORDER.iter().position(|known| known == name)) {
            return Err(format!("claims in another order: {order:?}"));
        }
        let mut expected = expected.clone();
        let (Value::Object(wanted), mut found) = (&mut expected, parts.claims) else {
            return Err("claims are an object".to_owned());
        };
        // Those that a case does not list.
        for (name, value) in self.more() {
            wanted.entry(name).or_insert(value);
        }
        wanted.sort_keys();
        found.sort_keys();
        self.compare_json(&expected, &Value::Object(found), name)
    }

    /// The claims of the profile's tokens beside the usual ones, for alice.
    fn more(&mut self) -> Map<String, Value> {
        let mut more = Map::new();
        if let Some(claim) = self.profile.revoke_token_claim() {
            more.insert(claim.to_owned(), json!("<any text>"));
        }
        if self.profile == Profile::C {
            more.insert("aud".to_owned(), json!("wire-api"));
            more.insert("iss".to_owned(), json!("https://issuer.example.test"));
        }
        more
    }

    fn fingerprint_of(&mut self, user: &str) -> String {
        use md5::{Digest as _, Md5};
        let stored = plain(&self.wire.admin(&[json!("pwhash"), json!(user)]));
        Md5::digest(stored.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Gives the placeholders of an answer that are new in it their texts.
    fn bind(&mut self, expected: &Value, found: &Value, new: &Map<String, Value>) -> Result<(), String> {
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => expected
                .iter()
                .filter_map(|(name, value)| Some((value, found.get(name)?)))
                .try_for_each(|(expected, found)| self.bind(expected, found, new)),
            (Value::String(name), Value::String(text)) if new.contains_key(name) => {
                if self.texts.values().any(|other| other == text) {
                    return Err(format!("{name} is no new token"));
                }
                self.texts.insert(name.clone(), text.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn compare_json(&mut self, expected: &Value, found: &Value, place: &str) -> Result<(), String> {
        let differ = || Err(format!("{place}: {found}, not {expected}"));
        match (expected, found) {
            (Value::String(text), Value::String(_)) if text == "<any text>" => Ok(()),
            (Value::String(text), Value::String(found)) if *found == self.filled_text(text) => Ok(()),
            (Value::Object(expected), _) if is_directive(expected, "$now") => {
                let tolerance = i64::from(CLOCK_TOLERANCE);
                let earliest = seconds_after(self.step_began, &expected["$now"]) - tolerance;
                let latest = now_plus(&expected["$now"]) + tolerance;
                match found.as_i64() {
                    Some(second) if (earliest..=latest).contains(&second) => Ok(()),
                    _ => differ(),
                }
            }
            (Value::Object(expected), _) if is_directive(expected, "$jti") => {
                let number = expected["$jti"].as_u64().ok_or("a number of a jti")?;
                match found.as_str() {
                    Some(jti) if self.is_jti(number, jti) => Ok(()),
                    _ => differ(),
                }
            }
            (Value::Object(expected), _) if is_directive(expected, "$hash_password") => {
                let user = expected["$hash_password"].as_str().ok_or("a user")?;
                if found.as_str() == Some(&self.fingerprint_of(user)) { Ok(()) } else { differ() }
            }
            (Value::Object(expected), _) if is_directive(expected, "$same") => {
                let claim = place.rsplit('.').next().unwrap_or_default();
                let token = self.text(expected["$same"].as_str().ok_or("a token")?);
                let claims = tokens::take_apart(&token, self.profile, &self.keys)?.claims;
                if claims.get(claim) == Some(found) { Ok(()) } else { differ() }
            }
            (Value::Object(expected), _) if is_directive(expected, "$user_id") => {
                let user = expected["$user_id"].as_str().and_then(|name| self.users.get(name));
                if user.is_some_and(|id| *id == plain(found)) { Ok(()) } else { differ() }
            }
            (Value::Object(members), Value::Object(found)) => {
                if !members.keys().eq(found.keys()) {
                    return differ();
                }
                members.iter().zip(found.values()).try_for_each(|((name, expected), found)| {
                    self.compare_json(expected, found, &format!("{place}.{name}"))
                })
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
                .iter()
                .zip(found)
                .try_for_each(|(expected, found)| self.compare_json(expected, found, place)),
            _ if expected == found => Ok(()),
            _ => differ(),
        }
    }

    /// A UUID of version 4 in 32 lower-case hexadecimal digits, the same for each mention of its number and
    /// another for each number.
    fn is_jti(&mut self, number: u64, jti: &str) -> bool {
        match self.jtis.get(&number) {
            Some(known) => known == jti,
            None => {
                let is_uuid = Uuid::parse_str(jti)
                    .is_ok_and(|uuid| uuid.get_version_num() == 4 && uuid.simple().to_string() == jti);
                let is_new = !self.jtis.values().any(|other| other == jti);
                self.jtis.insert(number, jti.to_owned());
                is_uuid && is_new
            }
        }
    }

    /// The text of a placeholder; a token that a case defines is made at its first mention.
    fn text(&mut self, placeholder: &str) -> String {
        if let Some(text) = self.texts.get(placeholder) {
            return text.clone();
        }
        let text = match self.specs.get(placeholder).cloned() {
            Some(spec) => self.make(&spec),
            None if placeholder == "<name>" => format!("temporary-{}", Uuid::new_v4().simple()),
            None => panic!("{placeholder} has no meaning yet"),
        };
        self.texts.insert(placeholder.to_owned(), text.clone());
        text
    }

    fn make(&mut self, spec: &Value) -> String {
        let spec = self.filled(spec);
        let spec: TokenSpec = serde_json::from_value(spec).expect("how to make a token");
        match &spec.from {
            Some(token) => tokens::spoil(token, &spec),
            None => {
                let jti = Uuid::new_v4().simple().to_string();
                let mut more = self.more();
                if let Some(claim) = self.profile.revoke_token_claim() {
                    let known = self.fingerprint.take();
                    let fingerprint = known.unwrap_or_else(|| self.fingerprint_of("alice"));
                    more.insert(claim.to_owned(), json!(fingerprint));
                    self.fingerprint = Some(fingerprint);
                }
                tokens::make(&spec, (self.profile, &self.keys), &jti, &more, now())
            }
        }
    }

    fn filled(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.filled_text(text)),
            Value::Array(list) => list.iter().map(|value| self.filled(value)).collect(),
            Value::Object(members) if is_directive(members, "$now") => json!(now_plus(&members["$now"])),
            Value::Object(members) if is_directive(members, "$jti") => {
                let number = members["$jti"].as_u64().expect("a number of a jti");
                let fresh = || Uuid::new_v4().simple().to_string();
                json!(self.jtis.entry(number).or_insert_with(fresh))
            }
            Value::Object(members) if is_directive(members, "$hash_password") => {
                let user = members["$hash_password"].as_str().expect("a user").to_owned();
                json!(self.fingerprint_of(&user))
            }
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.filled(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn filled_text(&mut self, text: &str) -> String {
        let Some((before, rest)) = text.split_once('<') else { return text.to_owned() };
        let Some((name, after)) = rest.split_once('>') else { return text.to_owned() };
        let filled = self.text(&format!("<{name}>"));
        format!("{before}{filled}{}", self.filled_text(after))
    }
}

fn now_plus(seconds: &Value) -> i64 {
    seconds_after(now(), seconds)
}

fn seconds_after(time: Duration, seconds: &Value) -> i64 {
    i64::try_from(time.as_secs()).expect("a time of our age") + seconds.as_i64().expect("seconds")
}

/// A text or a number as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_directive(members: &Map<String, Value>, name: &str) -> bool {
    members.len() == 1 && members.contains_key(name)
}

fn is_together(step: &Step) -> bool {
    matches!(step, Step::Exchange { together: true, .. })
}

fn compare_headers(expected: &Map<String, Value>, found: &HeaderMap, unknown: &[&str]) -> Result<(), String> {
    for name in expected.keys() {
        if !COMPARED_HEADERS.contains(&name.to_lowercase().as_str()) {
            return Err(format!("{name} is not compared"));
        }
    }
    for name in COMPARED_HEADERS {
        let wanted = expected.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        let wanted: Vec<_> = wanted.into_iter().filter_map(|(_, value)| value.as_str()).collect();
        if unknown.contains(&name) || wanted.is_empty() && name == "vary" {
            continue;
        }
        let values: Vec<_> = found.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if wanted != values {
            return Err(format!("{name}: {values:?}, not {wanted:?}"));
        }
    }
    Ok(())
}
