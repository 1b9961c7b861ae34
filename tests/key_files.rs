//! Keys in files that change while the gateway runs: written anew, put in place by a rename, swapped by a link, broken
//! and gone.

#![allow(clippy::unwrap_used, reason = "a helper's panic fails its test")]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the two planes")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use support::{Home, Idp, Tollgate, Upstream, claims, config};
use tollgate::base::Algorithm;

fn idp() -> Idp {
    Idp::new(Algorithm::ES256)
}

fn key_set(idps: &[&Idp]) -> String {
    json!({ "keys": idps.iter().map(|idp| idp.jwk()).collect::<Vec<_>>() }).to_string()
}

fn provider(keys: &Value) -> Value {
    json!({ "issuer": "https://id.example.test", "keys": keys, "algorithms": ["ES256"], "audiences": ["test-api"] })
}

/// A gateway with one provider, `idp`, at `/`.
fn home(keys: &Value, app: &Upstream) -> Home {
    config().set("providers.idp", provider(keys)).route("/*", "idp", app).write()
}

async fn status(gate: &Tollgate, token: &str) -> u16 {
    gate.get("/").bearer(token).await.status.as_u16()
}

/// Waits until changed files were looked at so many times.
async fn until_read(gate: &Tollgate, outcome: &str, times: f64) {
    let labels = [("provider", "idp"), ("outcome", outcome)];
    gate.metrics_until(&format!("{times} reads: {outcome}"), |metrics| {
        metrics.sum("tollgate_key_file_reads_total", &labels) >= times
    })
    .await;
}

fn replace_by_rename(home: &Home, file: &str, text: &str) {
    home.write("keys/.new", text);
    fs::rename(home.path("keys/.new"), home.path(file)).unwrap();
}

#[tokio::test]
async fn a_key_that_left_the_file_ends_its_remembered_tokens_and_one_that_came_is_taken() {
    let (app, old, staying, new) = (Upstream::echo().await, idp(), idp(), idp());
    let home = home(&json!({ "jwks_file": "keys/set.json" }), &app);
    home.write("keys/set.json", key_set(&[&old, &staying]));
    let gate = Tollgate::start(home).await;
    let token = |idp: &Idp| idp.sign(claims("ada"));
    let (of_old, of_staying) = (token(&old), token(&staying));
    for token in [&of_old, &of_staying] {
        assert_eq!(status(&gate, token).await, 200);
    }
    replace_by_rename(&gate.home, "keys/set.json", &key_set(&[&staying, &new]));
    until_read(&gate, "ok", 1.0).await;
    assert_eq!(status(&gate, &of_old).await, 401, "verified before, and remembered");
    assert_eq!(status(&gate, &token(&new)).await, 200);
    assert_eq!(status(&gate, &of_staying).await, 200);
    let hits = gate.metrics_until("the remembered token", |metrics| {
        metrics.sum("tollgate_token_cache_lookups_total", &[("result", "miss")]) >= 4.0
    });
    let misses = hits.await.sum("tollgate_token_cache_lookups_total", &[("result", "miss")]);
    assert!((misses - 4.0).abs() < 0.1, "the key that stayed was verified with once: {misses}");

    gate.home.write("keys/set.json", key_set(&[&old]));
    until_read(&gate, "ok", 2.0).await;
    assert_eq!(status(&gate, &of_old).await, 200, "written in place");
    assert_eq!(status(&gate, &of_staying).await, 401);
}

#[tokio::test]
async fn a_link_that_is_swapped_brings_the_keys_behind_it() {
    let (app, old, new) = (Upstream::echo().await, idp(), idp());
    let home = home(&json!({ "jwks_file": "keys/set.json" }), &app);
    home.write("keys/..1/set.json", key_set(&[&old]));
    home.write("keys/..2/set.json", key_set(&[&new]));
    symlink("..1", home.path("keys/..data")).unwrap();
    symlink("..data/set.json", home.path("keys/set.json")).unwrap();
    let gate = Tollgate::start(home).await;
    assert_eq!(status(&gate, &old.sign(claims("ada"))).await, 200);
    symlink("..2", gate.home.path("keys/..data_new")).unwrap();
    fs::rename(gate.home.path("keys/..data_new"), gate.home.path("keys/..data")).unwrap();
    fs::remove_dir_all(gate.home.path("keys/..1")).unwrap();
    until_read(&gate, "ok", 1.0).await;
    assert_eq!(status(&gate, &new.sign(claims("ada"))).await, 200);
    assert_eq!(status(&gate, &old.sign(claims("ada"))).await, 401);
    // The folder that came with the swap is watched as well.
    gate.home.write("keys/..2/set.json", key_set(&[&old]));
    until_read(&gate, "ok", 2.0).await;
    assert_eq!(status(&gate, &old.sign(claims("ada"))).await, 200);
}

#[tokio::test]
async fn a_file_that_can_not_be_used_changes_nothing_and_is_told_of_once() {
    let (app, good, rsa) = (Upstream::echo().await, idp(), Idp::new(Algorithm::RS256));
    let home = home(&json!({ "jwks_file": "keys/set.json" }), &app);
    home.write("keys/set.json", key_set(&[&good]));
    let gate = Tollgate::start(home).await;
    let token = good.sign(claims("ada"));
    let bad = ["", "<html>", r#"{"keys":[]}"#, &key_set(&[&rsa])];
    for (number, text) in (1_u32..).zip(bad) {
        replace_by_rename(&gate.home, "keys/set.json", text);
        until_read(&gate, "unusable", f64::from(number)).await;
        assert_eq!(status(&gate, &token).await, 200, "{text}");
    }
    fs::remove_file(gate.home.path("keys/set.json")).unwrap();
    until_read(&gate, "unreadable", 1.0).await;
    assert_eq!(status(&gate, &token).await, 200);
    let told = gate.lines().iter().filter(|line| line.contains("changes nothing")).count();
    assert_eq!(told, 5, "each once");

    let new = idp();
    gate.home.write("keys/set.json", key_set(&[&new]));
    until_read(&gate, "ok", 1.0).await;
    assert_eq!(status(&gate, &new.sign(claims("ada"))).await, 200);
    assert_eq!(status(&gate, &token).await, 401);
}

#[tokio::test]
async fn a_pem_file_is_read_again_for_all_providers_that_share_it() {
    let (app, old, new) = (Upstream::echo().await, idp(), idp());
    let home = config()
        .set("providers.idp", provider(&json!({ "pem_file": "keys/public.pem" })))
        .set("providers.twin", provider(&json!({ "pem_file": "keys/public.pem" })))
        .route("/one", "idp", &app)
        .route("/two", "twin", &app)
        .write();
    home.write("keys/public.pem", old.public_pem());
    let gate = Tollgate::start(home).await;
    let (of_old, of_new) = (old.sign(claims("ada")), new.sign(claims("ada")));
    let both = async |token: &str| {
        let [one, two] = ["/one", "/two"].map(|path| gate.get(path).bearer(token));
        [one.await.status.as_u16(), two.await.status.as_u16()]
    };
    assert_eq!((both(&of_old).await, both(&of_new).await), ([200, 200], [401, 401]));
    replace_by_rename(&gate.home, "keys/public.pem", &new.public_pem());
    until_read(&gate, "ok", 1.0).await;
    assert_eq!((both(&of_old).await, both(&of_new).await), ([401, 401], [200, 200]));
    assert!(gate.lines().iter().any(|line| line.contains("the key file was read again")));
}
