//! Tests of [`Policy`](super::Policy): the rules, and their order.

use serde_json::{Value, json};

use crate::base::{ProviderName, UnixTime};
use crate::config::{
    Audiences, ClaimValue, IssuerRule, KeySource, Provider, RequiredClaim, TokenRules, TokenTyp,
};

use super::samples::{all, members};
use super::{Claims, Policy, PolicyError};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn provider() -> Provider {
    Provider {
        name: ProviderName::new("company"),
        issuer: IssuerRule::Exactly("https://id.example.com".to_owned()),
        keys: KeySource::Own,
        algorithms: all(),
        audiences: Audiences::OneOf(vec!["shop".to_owned(), "api".to_owned()]),
        leeway: std::time::Duration::from_secs(30),
        required_claims: vec![required("sub", &[]), required("realm.id", &[])],
        token_type: None,
        rules: TokenRules::default(),
    }
}

fn required(path: &str, one_of: &[ClaimValue]) -> RequiredClaim {
    RequiredClaim { path: path.parse().unwrap(), one_of: one_of.to_vec() }
}

fn with_rules(rules: TokenRules) -> Provider {
    Provider { rules, ..provider() }
}

/// A token that [`provider`] takes, with changes; `null` takes a claim out.
fn claims(changes: Value) -> Claims {
    let mut claims = members(json!({
        "iss": "https://id.example.com", "aud": ["other", "api"], "sub": "ada", "realm": { "id": 1 },
        "iat": NOW.0, "nbf": NOW.0, "exp": NOW.0 + 300,
    }));
    for (name, value) in members(changes) {
        if value.is_null() {
            claims.remove(&name)
        } else {
            claims.insert(name, value)
        };
    }
    Claims::from_members(claims).unwrap()
}

fn check(provider: &Provider, changes: Value) -> Result<(), PolicyError> {
    Policy::new(provider).check(Some("JWT"), &claims(changes), NOW)
}

fn check_typ(typ: Option<&str>) -> Result<(), PolicyError> {
    Policy::new(&provider()).check(typ, &claims(json!({})), NOW)
}

fn seconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

#[test]
fn takes_a_token_that_keeps_all_rules() {
    assert_eq!(check(&provider(), json!({})), Ok(()));
}

#[test]
fn a_token_is_void_from_the_second_of_exp_and_leeway_on() {
    let expired = |ago| Err(PolicyError::Expired { ago: seconds(ago) });
    assert_eq!(check(&provider(), json!({ "exp": NOW.0 - 29 })), Ok(()));
    assert_eq!(check(&provider(), json!({ "exp": NOW.0 - 30 })), expired(30));
    assert_eq!(check(&provider(), json!({ "exp": i64::MIN })), expired(u64::try_from(i64::MAX).unwrap()));
    assert_eq!(check(&provider(), json!({ "exp": i64::MAX })), Ok(()));
    let exact = Provider { leeway: seconds(0), ..provider() };
    assert_eq!(check(&exact, json!({ "exp": NOW.0 + 1 })), Ok(()));
    assert_eq!(check(&exact, json!({ "exp": NOW.0 })), expired(0));
    // A fraction is cut: the token ends a little early, never late.
    assert_eq!(check(&exact, json!({ "exp": 1_800_000_000.9 })), expired(0));
}

#[test]
fn a_token_without_exp_is_refused() {
    assert_eq!(check(&provider(), json!({ "exp": null })), Err(PolicyError::MissingExpiry));
}

#[test]
fn a_token_from_the_future_is_refused() {
    assert_eq!(check(&provider(), json!({ "nbf": NOW.0 + 30 })), Ok(()));
    assert_eq!(
        check(&provider(), json!({ "nbf": NOW.0 + 31 })),
        Err(PolicyError::NotYetValid { wait: seconds(31) })
    );
    assert_eq!(check(&provider(), json!({ "iat": NOW.0 + 30 })), Ok(()));
    let ahead = Err(PolicyError::IssuedInTheFuture { ahead: seconds(31) });
    assert_eq!(check(&provider(), json!({ "iat": NOW.0 + 31 })), ahead);
    assert_eq!(check(&provider(), json!({ "iat": null, "nbf": null })), Ok(()), "neither has to be there");
}

#[test]
fn the_issuer_is_compared_byte_by_byte() {
    for issuer in ["https://id.example.com/", "HTTPS://id.example.com", "https://id.example.com.evil", ""] {
        assert_eq!(check(&provider(), json!({ "iss": issuer })), Err(PolicyError::WrongIssuer), "{issuer}");
    }
    assert_eq!(check(&provider(), json!({ "iss": null })), Err(PolicyError::WrongIssuer));
    let any = Provider { issuer: IssuerRule::Any, ..provider() };
    for issuer in [json!(null), json!("whoever")] {
        assert_eq!(check(&any, json!({ "iss": issuer })), Ok(()));
    }
    assert!(Policy::new(&any).issuer_matches(None) && !Policy::new(&provider()).issuer_matches(None));
}

#[test]
fn one_audience_of_ours_must_be_named() {
    for audience in [json!("shop"), json!(["api"]), json!(["x", "shop"])] {
        assert_eq!(check(&provider(), json!({ "aud": audience })), Ok(()), "{audience}");
    }
    for audience in [json!("sho"), json!("shop api"), json!(["API"]), json!([]), json!(""), json!(null)] {
        assert_eq!(
            check(&provider(), json!({ "aud": audience })),
            Err(PolicyError::WrongAudience),
            "{audience}"
        );
    }
    let any = Provider { audiences: Audiences::Any, ..provider() };
    for audience in [json!(null), json!("x"), json!([])] {
        assert_eq!(check(&any, json!({ "aud": audience })), Ok(()));
    }
}

#[test]
fn all_audiences_must_be_named_where_all_are_asked_for() {
    let both =
        Provider { audiences: Audiences::AllOf(vec!["shop".to_owned(), "api".to_owned()]), ..provider() };
    for audience in [json!(["shop", "api"]), json!(["api", "x", "shop"])] {
        assert_eq!(check(&both, json!({ "aud": audience })), Ok(()), "{audience}");
    }
    for audience in
        [json!("shop"), json!(["api"]), json!(["api", "api"]), json!("shop api"), json!([]), json!(null)]
    {
        assert_eq!(check(&both, json!({ "aud": audience })), Err(PolicyError::WrongAudience), "{audience}");
    }
}

#[test]
fn a_token_is_too_old_beyond_max_age_and_leeway() {
    let provider = with_rules(TokenRules { max_age: Some(seconds(60)), ..TokenRules::default() });
    assert_eq!(check(&provider, json!({ "iat": NOW.0 - 90 })), Ok(()));
    assert_eq!(check(&provider, json!({ "iat": NOW.0 - 91 })), Err(PolicyError::TooOld { age: seconds(91) }));
    assert_eq!(check(&provider, json!({ "iat": null })), Err(PolicyError::MissingIssuedAt));
    assert_eq!(check(&provider, json!({ "iat": NOW.0 + 30 })), Ok(()), "clocks may differ");
    let far = Err(PolicyError::TooOld { age: seconds(u64::try_from(i64::MAX).unwrap()) });
    assert_eq!(check(&provider, json!({ "iat": i64::MIN })), far);
}

#[test]
fn a_lifetime_is_too_long_by_one_second_whatever_the_leeway() {
    let provider = with_rules(TokenRules { max_lifetime: Some(seconds(300)), ..TokenRules::default() });
    assert_eq!(check(&provider, json!({ "exp": NOW.0 + 300 })), Ok(()));
    let long = |lifetime| Err(PolicyError::LifetimeTooLong { lifetime: seconds(lifetime) });
    assert_eq!(check(&provider, json!({ "exp": NOW.0 + 301 })), long(301));
    assert_eq!(check(&provider, json!({ "iat": NOW.0 - 1 })), long(301), "not the time that is left");
    assert_eq!(check(&provider, json!({ "iat": null })), Err(PolicyError::MissingIssuedAt));
    let endless = check(&provider, json!({ "iat": i64::MIN, "exp": i64::MAX }));
    assert_eq!(endless, long(u64::try_from(i64::MAX).unwrap()));
}

#[test]
fn each_authorized_party_that_a_token_names_must_be_one_of_ours() {
    let parties = vec!["web".to_owned(), "app".to_owned()];
    let provider = with_rules(TokenRules { authorized_parties: parties, ..TokenRules::default() });
    for good in
        [json!({ "azp": "web" }), json!({ "client_id": "app" }), json!({ "azp": "web", "client_id": "app" })]
    {
        assert_eq!(check(&provider, good.clone()), Ok(()), "{good}");
    }
    for bad in [
        json!({}),
        json!({ "azp": "Web" }),
        json!({ "azp": ["web"] }),
        json!({ "azp": "web", "client_id": "other" }),
        json!({ "azp": "other", "client_id": "web" }),
        json!({ "azp": 1, "client_id": "web" }),
        json!({ "client_id": "" }),
    ] {
        assert_eq!(check(&provider, bad.clone()), Err(PolicyError::WrongAuthorizedParty), "{bad}");
    }
    assert_eq!(check(&self::provider(), json!({ "azp": "other" })), Ok(()), "no rule was set");
    // Not as absent: `check` above takes a claim of `null` out.
    let null = members(
        json!({ "iss": "https://id.example.com", "aud": "api", "exp": NOW.0 + 1, "azp": null, "client_id": "web" }),
    );
    let verdict = Policy::new(&provider).check(None, &Claims::from_members(null).unwrap(), NOW);
    assert_eq!(verdict, Err(PolicyError::WrongAuthorizedParty));
}

#[test]
fn a_typ_that_is_asked_for_must_be_there() {
    let provider = with_rules(TokenRules {
        typ: ["at+jwt", "application/x-access+jwt"].map(TokenTyp::new).to_vec(),
        ..TokenRules::default()
    });
    let check = |typ| Policy::new(&provider).check(typ, &claims(json!({})), NOW);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "x-access+jwt"] {
        assert_eq!(check(Some(typ)), Ok(()), "{typ}");
    }
    for typ in [None, Some("JWT"), Some(""), Some("at+jw"), Some("logout+jwt"), Some("text/at+jwt")] {
        assert_eq!(check(typ), Err(PolicyError::WrongTyp), "{typ:?}");
    }
}

#[test]
fn a_required_claim_has_or_holds_one_of_its_values() {
    let text = |text: &str| ClaimValue::Text(text.to_owned());
    let provider = Provider {
        required_claims: vec![
            required("owner", &[text("acme"), text("ltd")]),
            required("email_verified", &[ClaimValue::Bool(true)]),
        ],
        ..provider()
    };
    let check = |owner: Value, verified: Value| {
        check(&provider, json!({ "owner": owner, "email_verified": verified }))
    };
    for owner in [json!("acme"), json!("ltd"), json!(["x", "ltd"]), json!([1, "acme"])] {
        assert_eq!(check(owner.clone(), json!(true)), Ok(()), "{owner}");
    }
    let wrong = |path: &str| Err(PolicyError::WrongClaimValue { path: path.parse().unwrap() });
    for owner in [
        json!("Acme"),
        json!("acme ltd"),
        json!([]),
        json!([["acme"]]),
        json!({ "acme": 1 }),
        json!(true),
        json!(""),
    ] {
        assert_eq!(check(owner.clone(), json!(true)), wrong("owner"), "{owner}");
    }
    assert_eq!(
        check(json!(null), json!(true)),
        Err(PolicyError::MissingClaim { path: "owner".parse().unwrap() })
    );
    for verified in [json!(false), json!("true"), json!(1)] {
        assert_eq!(check(json!("acme"), verified.clone()), wrong("email_verified"), "{verified}");
    }
}

#[test]
fn a_refresh_token_is_never_good_for_access() {
    for refresh in ["refresh", "Refresh", "REFRESH"] {
        assert_eq!(check(&provider(), json!({ "token_type": refresh })), Err(PolicyError::WrongTokenType));
    }
    for other in [json!("access"), json!("Bearer"), json!(1)] {
        assert_eq!(check(&provider(), json!({ "token_type": other })), Ok(()), "no rule was set");
    }
    let strict = Provider { token_type: Some("access".to_owned()), ..provider() };
    assert_eq!(check(&strict, json!({ "token_type": "access" })), Ok(()));
    assert_eq!(check(&strict, json!({})), Err(PolicyError::MissingTokenType));
    for other in [json!("refresh"), json!("ACCESS"), json!(""), json!(1), json!(["access"])] {
        assert_eq!(
            check(&strict, json!({ "token_type": other })),
            Err(PolicyError::WrongTokenType),
            "{other}"
        );
    }
}

#[test]
fn tokens_of_other_kinds_are_refused_by_their_typ() {
    for typ in [
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "application/logout+jwt",
        "APPLICATION/SecEvent+JWT",
        "DPoP+jwt",
    ] {
        assert_eq!(check_typ(Some(typ)), Err(PolicyError::WrongTyp), "{typ}");
    }
    for typ in [None, Some("JWT"), Some("at+jwt"), Some("application/at+jwt"), Some(""), Some("ä/logout+jwt")]
    {
        assert_eq!(check_typ(typ), Ok(()), "{typ:?}");
    }
}

#[test]
fn a_required_claim_must_be_there_and_not_null() {
    let missing = |path: &str| Err(PolicyError::MissingClaim { path: path.parse().unwrap() });
    assert_eq!(check(&provider(), json!({ "sub": null })), missing("sub"));
    for realm in [json!(null), json!({}), json!({ "id": null }), json!("id"), json!([1])] {
        assert_eq!(check(&provider(), json!({ "realm": realm })), missing("realm.id"), "{realm}");
    }
    for value in [json!(0), json!(false), json!(""), json!([])] {
        assert_eq!(check(&provider(), json!({ "realm": { "id": value } })), Ok(()), "{value} is a value");
    }
}

/// SimpleJWT's clients are told of the first of these, so the order is part of the behaviour.
#[test]
fn the_first_broken_rule_is_named() {
    let strict = Provider { token_type: Some("access".to_owned()), ..provider() };
    let mut broken =
        json!({ "iat": NOW.0 + 99, "nbf": NOW.0 + 99, "exp": 1, "iss": "x", "aud": "x", "sub": null });
    let mut seen = Vec::new();
    let repairs = [
        ("iat", json!(NOW.0)),
        ("nbf", json!(NOW.0)),
        ("exp", json!(null)),
        ("iss", json!("https://id.example.com")),
        ("aud", json!("api")),
        ("exp", json!(NOW.0 + 1)),
        ("token_type", json!("access")),
        ("sub", json!("ada")),
    ];
    for (claim, good) in repairs {
        let error = check(&strict, broken.clone()).expect_err("broken");
        seen.push(error.reason().as_str());
        broken[claim] = good;
    }
    assert_eq!(check(&strict, broken), Ok(()));
    let order = [
        "issued_in_the_future",
        "not_yet_valid",
        "expired",
        "unknown_issuer",
        "wrong_audience",
        "missing_expiry",
        "missing_token_type",
        "missing_claim",
    ];
    assert_eq!(seen, order);
}

#[test]
fn what_a_provider_says_of_an_active_token_needs_neither_iss_nor_exp_nor_token_type() {
    let check = |changes| Policy::new(&provider()).check_introspected(&claims(changes), NOW);
    assert_eq!(check(json!({ "iss": null, "exp": null, "iat": null, "token_type": "refresh" })), Ok(()));
    assert_eq!(check(json!({ "iss": "https://other.example.com" })), Err(PolicyError::WrongIssuer));
    assert_eq!(check(json!({ "aud": null })), Err(PolicyError::WrongAudience));
    assert!(matches!(check(json!({ "exp": NOW.0 - 30 })), Err(PolicyError::Expired { .. })));
    assert!(matches!(check(json!({ "nbf": NOW.0 + 31 })), Err(PolicyError::NotYetValid { .. })));
    assert!(matches!(check(json!({ "sub": null })), Err(PolicyError::MissingClaim { .. })));
}
