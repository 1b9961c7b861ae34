//! The commands about tokens and keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tollgate::base::Algorithm;

use crate::support::{Home, Idp, Reply, Tollgate, Upstream, claims, config};
use crate::{PASSWORD, access, kid, login, mode_of, run_with, succeeds, text};

pub(crate) async fn a_minted_token_passes_the_route_and_the_inspection() {
    let app = Upstream::echo().await;
    let home = config().issuer().route("/*", "local", &app).write();
    home.generate_key();
    home.add_user("ada", PASSWORD);
    let gate = Tollgate::start(home).await;
    let mint = |arguments: &[&str]| {
        let output = succeeds(&gate.home, &[&["token", "mint"], arguments].concat(), "");
        text(&output.stdout).trim().to_owned()
    };
    let of_user = mint(&["--user", "ada", "--claim", "scope=orders:read", "--claim", "level=3"]);
    let of_anybody = mint(&["--subject", "job-7", "--lifetime", "2h"]);
    let minted = [(&of_user, "1", Some("ada"), 300), (&of_anybody, "job-7", None, 7200)];
    for (index, (token, id, name, lifetime)) in minted.into_iter().enumerate() {
        let answer = gate.get("/").bearer(token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = app.request(index + 1).await;
        assert_eq!((seen.header("x-user-id"), seen.header("x-user-name")), (Some(id), name));

        let shown = text(&succeeds(&gate.home, &["token", "inspect", token], "").stdout);
        let but_for_the_time = |shown: &str| {
            let (before, after) = shown.split_once("\nexpires in ").unwrap();
            format!("{before}{}", after.split_once('\n').unwrap().1)
        };
        for arguments in [&["token", "inspect"][..], &["token", "inspect", "-"]] {
            let from_stdin = text(&succeeds(&gate.home, arguments, &format!("{token}\n")).stdout);
            assert_eq!(but_for_the_time(&from_stdin), but_for_the_time(&shown));
        }
        assert!(shown.contains("provider local: accepted"), "{shown}");
        let said: Value = serde_json::Deserializer::from_str(&shown).into_iter().next().unwrap().unwrap();
        assert_eq!(said["header"]["alg"], "ES256");
        assert_eq!((&said["claims"]["sub"], &said["claims"]["user_id"]), (&json!(id), &json!(id)));
        assert_eq!(said["claims"]["token_type"], "access");
        let second = |claim: &str| said["claims"][claim].as_u64().unwrap();
        assert_eq!(second("exp") - second("iat"), lifetime);
        assert!(said["claims"].get("sid").is_none(), "it belongs to no session");
    }
    let shown = text(&gate.home.run(&["token", "inspect"], &of_user).stdout);
    assert!(shown.contains("\"scope\": \"orders:read\"") && shown.contains("\"level\": 3"), "{shown}");
}

pub(crate) async fn mint_refuses_what_would_mean_nothing() {
    let home = config().issuer().write();
    home.generate_key();
    home.add_user("ada", PASSWORD);
    for (arguments, status, complaint) in [
        (&["mint"][..], 2, "--user <USER>|--subject <SUBJECT>"),
        (&["mint", "--user", "ada", "--subject", "job-7"], 2, "cannot be used with"),
        (&["mint", "--subject", ""], 2, "--subject"),
        (&["mint", "--user", "ada", "--claim", "scope"], 2, "NAME=VALUE"),
        (&["mint", "--user", "ada", "--claim", "exp=9999999999"], 2, "--lifetime sets it"),
        (&["mint", "--user", "ada", "--claim", "token_type=refresh"], 2, "access tokens"),
        (&["mint", "--user", "ada", "--lifetime", "0s"], 2, "a second"),
        (&["mint", "--user", "ada", "--lifetime", "5"], 2, "5m"),
        (&["mint", "--user", "nobody"], 1, "no user \"nobody\""),
    ] {
        let output = home.run(&[&["token"], arguments].concat(), "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        assert!(errors.contains(complaint) && output.stdout.is_empty(), "{arguments:?}: {errors}");
    }
}

pub(crate) async fn mint_says_when_a_token_lacks_the_claims_of_the_hook() {
    let broken = Arc::new(AtomicBool::new(false));
    let service = Upstream::start({
        let broken = Arc::clone(&broken);
        move |_| match broken.load(Ordering::SeqCst) {
            true => Reply::new(500, "out of order"),
            false => Reply::json(json!({ "tenant": "north" })),
        }
    })
    .await;
    let fetch = json!({ "allow_http": true, "allow_private_addresses": true, "proxy": "none" });
    let hook = json!({ "url": service.url(), "on_error": "keep", "fetch": fetch });
    let home = config().issuer().set("issuer.hook", hook).write();
    let home = Arc::new(home);
    home.generate_key();
    home.add_user("ada", PASSWORD);
    for (is_broken, tenant) in [(false, json!("north")), (true, Value::Null)] {
        broken.store(is_broken, Ordering::SeqCst);
        // The service runs on this thread.
        let minting = Arc::clone(&home);
        let mint = move || succeeds(&minting, &["token", "mint", "--user", "ada"], "");
        let output = tokio::runtime::Handle::current().spawn_blocking(mint).await.unwrap();
        let shown = text(&home.run(&["token", "inspect"], &text(&output.stdout)).stdout);
        let said: Value = serde_json::Deserializer::from_str(&shown).into_iter().next().unwrap().unwrap();
        assert_eq!((&said["claims"]["tenant"], &said["claims"]["sub"]), (&tenant, &json!("1")), "{shown}");
        let errors = text(&output.stderr);
        let is_warned = errors.starts_with("warning: the token is without the hook's claims: issuer.hook: ");
        assert_eq!(is_warned, is_broken, "{errors}");
        assert!(is_broken || errors.is_empty(), "{errors}");
    }
}

pub(crate) async fn inspect_says_why_a_token_is_refused() {
    let idp = Idp::new(Algorithm::ES256);
    let stranger = Idp::new(Algorithm::ES256);
    let home = config().issuer().provider("company", &idp).write();
    home.generate_key();
    let late = json!({ "sub": "ada", "exp": 1_000_000_000 });
    for (token, refusals) in [
        (idp.sign(late), &["expired", "provider company: refused, expired", "provider local: refused"][..]),
        (stranger.sign(claims("ada")), &["provider company: refused", "provider local: refused"]),
    ] {
        let output = home.run(&["token", "inspect"], &token);
        let (shown, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(errors.contains("no provider of the file takes this token"), "{errors}");
        for refusal in refusals {
            assert!(shown.contains(refusal), "{refusal} is not in: {shown}");
        }
        let signature = token.rsplit('.').next().unwrap();
        assert!(!shown.contains(signature) && !errors.contains(signature), "{shown}{errors}");
    }
    let output = home.run(&["token", "inspect"], &idp.sign(claims("ada")));
    assert!(output.status.success() && text(&output.stdout).contains("provider company: accepted"));

    let huge = "a".repeat(1024 * 1024);
    for garbage in ["", "\n", "garbage", "a.b", "e30.e30.", "\u{0}", &huge] {
        let output = home.run(&["token", "inspect"], garbage);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("tollgate: no token ("), "{}", text(&output.stderr));
    }
    let output = run_with(&home, &["token", "inspect"], b"\xff\xfe");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

pub(crate) async fn a_generated_key_signs_after_a_restart_and_the_old_one_still_verifies() {
    let app = Upstream::echo().await;
    let home = config().issuer().route("/*", "local", &app).write();
    let generate = |home: &Home, more: &[&str]| {
        let output = succeeds(home, &[&["key", "generate"], more].concat(), "");
        let shown = text(&output.stdout);
        let path = shown.trim_end();
        assert_eq!(mode_of(&home.path(path)), 0o600, "{path}");
        // `<time>-<kid>.pem`
        path.rsplit('/').next().unwrap().split_once('-').unwrap().1.trim_end_matches(".pem").to_owned()
    };
    let old = generate(&home, &[]);
    assert_eq!(mode_of(&home.path("data/keys")), 0o700);
    home.add_user("ada", PASSWORD);
    let mut gate = Tollgate::start(home).await;
    let before = login(&gate, "ada", PASSWORD).await.json();
    assert_eq!(kid(&access(&before)), old);

    // Of another algorithm than the file's: it verifies, and would sign if the file asked for it.
    let other = generate(&gate.home, &["--algorithm", "EdDSA"]);
    let new = generate(&gate.home, &[]);
    assert_eq!(kid(&access(&login(&gate, "ada", PASSWORD).await.json())), old, "until it is started again");

    gate.restart("TERM").await;
    let after = login(&gate, "ada", PASSWORD).await.json();
    assert_eq!(kid(&access(&after)), new);
    for tokens in [&before, &after] {
        assert_eq!(gate.get("/").bearer(&access(tokens)).await.status, 200);
        let refreshed =
            gate.post("/api/token/refresh/").json(json!({ "refresh": tokens["refresh"] })).await.json();
        assert_eq!(kid(&access(&refreshed)), new);
    }
    let published = gate.get("/.well-known/jwks.json").await.json();
    let kids: Vec<&str> =
        published["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert!([&old, &other, &new].iter().all(|kid| kids.contains(&kid.as_str())), "{kids:?}");
    assert_eq!(kids.len(), 3);

    let refused = gate.home.run(&["key", "generate", "--algorithm", "HS256"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("issuer.signing_key"), "{}", text(&refused.stderr));
}
