//! Replays one case and compares every answer.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::case::{self, Case, Step, TestKeys, TokenSpec};
use crate::elsewhere;
use crate::gateway::{PROTECTED, Sent, Wire, now};
use crate::tokens;

/// How far the two clocks may be apart, in seconds.
const CLOCK_TOLERANCE: i64 = 2;

/// The header fields that a case speaks of: all that it does not list must be absent, but for `Vary`, to which the
/// recorded site's middleware adds in some. Any other field is the site's own.
const COMPARED_HEADERS: [&str; 7] =
    ["allow", "cache-control", "content-type", "location", "set-cookie", "vary", "www-authenticate"];

/// What the steps of one case have in common.
pub(crate) struct Replay {
    wire: Wire,
    /// What the gateway answers at the protected route where the recorded view refuses.
    refusal: u16,
    keys: TestKeys,
    specs: Map<String, Value>,
    /// The texts of placeholders, e.g. of `<access:2>`.
    texts: HashMap<String, String>,
    /// The values of `{"$jti": n}`.
    jtis: HashMap<u64, String>,
    /// The values of `{"$user_id": "<name>"}`.
    users: HashMap<String, String>,
}

impl Replay {
    pub(crate) fn new(wire: Wire, keys: TestKeys) -> Self {
        Self {
            wire,
            refusal: 401,
            keys,
            specs: Map::new(),
            texts: HashMap::new(),
            jtis: HashMap::new(),
            users: HashMap::new(),
        }
    }

    pub(crate) fn run(mut self, case: Case) -> Result<(), String> {
        self.refusal = elsewhere::refusal(&case.name).unwrap_or(self.refusal);
        self.specs = case.tokens;
        for (index, step) in case.steps.into_iter().enumerate() {
            self.step(step).map_err(|error| format!("step {}: {error}", index + 1))?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Exchange { together: true, .. } => Err("steps at once belong to other profiles".to_owned()),
            Step::Exchange { request, response, .. } => {
                let sent = self.filled_request(&request)?;
                let answer = self.wire.send(&sent);
                let compared = if sent.path.starts_with(PROTECTED) {
                    self.compare_protected(&response, &answer)
                } else {
                    self.compare(&response, &answer)
                };
                compared.map_err(|error| format!("{error}\n  request: {sent:?}\n  answer: {answer:?}"))
            }
            Step::Admin { admin, answer } => {
                let act: Vec<Value> = admin.iter().map(|value| self.filled(value)).collect();
                let found = self.wire.admin(&act);
                if let Some(name) = answer.get("$user_id").and_then(Value::as_str) {
                    self.users.insert(name.to_owned(), plain(&found));
                    return Ok(());
                }
                self.compare_json(&answer, &found, "the act's answer")
            }
            Step::Wait { wait_seconds } => {
                self.wire.wait(Duration::from_secs_f64(wait_seconds));
                Ok(())
            }
            Step::WaitUntilExpired { wait_until_expired } => {
                let token = self.text(&wait_until_expired);
                let exp = tokens::take_apart(&token, &self.keys)?.claims["exp"].as_u64().expect("exp");
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

    fn compare(&mut self, expected: &case::Response, answer: &Response<Bytes>) -> Result<(), String> {
        if answer.status().as_u16() != expected.status {
            return Err(format!("status {}, not {}", answer.status(), expected.status));
        }
        compare_headers(&expected.headers, answer.headers())?;
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
            let text = self.text(name);
            let parts = tokens::take_apart(&text, &self.keys)?;
            if parts.header != br#"{"alg":"HS256","typ":"JWT"}"# {
                return Err(format!("header {}", String::from_utf8_lossy(&parts.header)));
            }
            self.compare_json(&token["claims"], &Value::Object(parts.claims), name)?;
        }
        Ok(())
    }

    /// The recorded view is an application of its own: behind the gateway another one stands in its place, and what
    /// is refused before it has the gateway's own form. Who gets through, and as whom, is the same.
    fn compare_protected(&self, expected: &case::Response, answer: &Response<Bytes>) -> Result<(), String> {
        let wanted = if expected.status == 401 { self.refusal } else { expected.status };
        if answer.status().as_u16() != wanted {
            return Err(format!("status {}, not {wanted}", answer.status()));
        }
        let Some(user) = expected.json.as_ref().and_then(|json| json.get("user_id")) else { return Ok(()) };
        let seen: Value = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
        let seen = &seen["headers"]["x-user-id"];
        if *seen == plain(user) { Ok(()) } else { Err(format!("the upstream is told {seen}, not {user}")) }
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
                let wanted = now_plus(&expected["$now"]);
                match found.as_i64() {
                    Some(second) if (second - wanted).abs() <= CLOCK_TOLERANCE => Ok(()),
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
                tokens::make(&spec, &self.keys, &jti, now())
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
    let now = i64::try_from(now().as_secs()).expect("a time of our age");
    now + seconds.as_i64().expect("seconds")
}

/// A text or a number as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_directive(members: &Map<String, Value>, name: &str) -> bool {
    members.len() == 1 && members.contains_key(name)
}

fn compare_headers(expected: &Map<String, Value>, found: &HeaderMap) -> Result<(), String> {
    for name in expected.keys() {
        if !COMPARED_HEADERS.contains(&name.to_lowercase().as_str()) {
            return Err(format!("{name} is not compared"));
        }
    }
    for name in COMPARED_HEADERS {
        let wanted = expected.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        let wanted: Vec<_> = wanted.into_iter().filter_map(|(_, value)| value.as_str()).collect();
        if wanted.is_empty() && name == "vary" {
            continue;
        }
        let values: Vec<_> = found.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if wanted != values {
            return Err(format!("{name}: {values:?}, not {wanted:?}"));
        }
    }
    Ok(())
}
