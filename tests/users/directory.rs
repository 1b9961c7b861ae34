//! Users of a directory: a real OpenLDAP.

use serde_json::{Value, json};

use crate::suite::{PASSWORD, Place, claims, gateway, log_in, run, started};
use crate::support::{Config, Directory};

const ADA: &str = "uid=ada,ou=people,dc=example,dc=com";

/// `ada` with her groups, and `gone` if he is there at all.
fn entries(with_gone: bool) -> String {
    let person = |uid: &str, more: &str| {
        format!(
            "dn: uid={uid},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n\
             mail: {uid}@example.com\nuserPassword: {PASSWORD}\n{more}\n"
        )
    };
    let groups = ["admin", "staff", "two words"].map(|name| {
        format!("dn: cn={name},ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: {name}\nmember: {ADA}\n\n")
    });
    let gone = if with_gone { person("gone", "employeeType: disabled\n") } else { String::new() };
    let of_groups: Vec<String> = groups.into();
    [person("ada", MEMBER_OF), gone, of_groups.concat()].concat()
}

/// As the overlay would keep it; `slapadd` does not run it.
const MEMBER_OF: &str = "memberOf: cn=admin,ou=groups,dc=example,dc=com\n\
    memberOf: cn=staff,ou=groups,dc=example,dc=com\n\
    memberOf: cn=two words,ou=groups,dc=example,dc=com\n";

/// With StartTLS, and `ca.pem` beside the `gateway.yaml`.
fn encrypted(directory: &Directory, more: &Value) -> Config {
    let mut ldap = json!({ "url": directory.url(), "start_tls": true, "ca": "ca.pem" });
    for (key, value) in more.as_object().unwrap() {
        ldap[key] = value.clone();
    }
    gateway(json!({ "ldap": ldap })).file("ca.pem", directory.authority_pem())
}

fn by_dn() -> Value {
    json!({ "user_dn": "uid={username},ou=people,dc=example,dc=com" })
}

fn searching() -> Value {
    json!({
        "search": {
            "base": "ou=people,dc=example,dc=com",
            "filter": "(&(uid={username})(!(employeeType=disabled)))",
        },
        "bind_dn": Directory::ADMINISTRATOR,
        "bind_password": "${LDAP_PASSWORD}",
    })
}

pub(crate) async fn by_name() {
    let directory = Directory::start(&entries(false)).await;
    run(Place {
        gate: started(encrypted(&directory, &by_dn())).await,
        disable_ada: Box::new(move |_| {
            directory.delete(ADA);
            Box::pin(std::future::ready(()))
        }),
        tells_more: true,
        is_asked_at_refresh: false,
    })
    .await;
}

pub(crate) async fn by_search() {
    let directory = Directory::start(&entries(true)).await;
    run(Place {
        gate: started(encrypted(&directory, &searching()).env("LDAP_PASSWORD", "secret")).await,
        disable_ada: Box::new(move |_| {
            directory.delete(ADA);
            Box::pin(std::future::ready(()))
        }),
        tells_more: true,
        is_asked_at_refresh: true,
    })
    .await;
}

pub(crate) async fn outage() {
    let mut directory = Directory::start(&entries(true)).await;
    let gate = started(encrypted(&directory, &searching()).env("LDAP_PASSWORD", "secret")).await;
    let tokens = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let id = claims(&tokens, "access")["user_id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(36), "an entryUUID: {id}");
    directory.stop();
    let refused = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    let refresh = json!({ "refresh": tokens.json()["refresh"] });
    assert_eq!(gate.post("/api/token/refresh/").json(refresh.clone()).await.status, 503);
    assert!(directory.run().await);
    assert_eq!(log_in(&gate, "ada", PASSWORD).await.status, 200);
    assert_eq!(gate.post("/api/token/refresh/").json(refresh).await.status, 200);

    // A wrong password of our own is no verdict about the user's.
    let gate = started(encrypted(&directory, &searching()).env("LDAP_PASSWORD", "wrong")).await;
    assert_eq!(log_in(&gate, "ada", PASSWORD).await.status, 503);
}

pub(crate) async fn untrusted() {
    let directory = Directory::start(&entries(false)).await;
    let other = Directory::start("").await;
    let config = encrypted(&directory, &by_dn()).file("ca.pem", other.authority_pem());
    let gate = started(config).await;
    assert_eq!(log_in(&gate, "ada", PASSWORD).await.status, 503);
    let was_told = || directory.lines().iter().any(|line| line.contains("BIND"));
    assert!(!was_told(), "nothing was said to it");
    let trusting = started(encrypted(&directory, &by_dn())).await;
    assert_eq!(log_in(&trusting, "ada", PASSWORD).await.status, 200);
    assert!(was_told(), "it logs what is said to it");
}

/// Attributes that no other key of the file names, at a login and at a refresh after a change.
pub(crate) async fn attributes_as_claims() {
    let directory = Directory::start(&entries(true)).await;
    directory.modify(&format!(
        "dn: {ADA}\nchangetype: modify\nadd: departmentNumber\ndepartmentNumber: 42\n-\n\
         add: telephoneNumber\ntelephoneNumber: 1\ntelephoneNumber: 2\n"
    ));
    let sources = json!({
        "department": { "column": "departmentnumber" },
        "phones": { "column": "telephoneNumber" },
        "title": { "column": "title" },
    });
    let config =
        encrypted(&directory, &searching()).env("LDAP_PASSWORD", "secret").set("issuer.claims", sources);
    let gate = started(config).await;
    let facts = |answer: &crate::support::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let claims = claims(answer, "access");
        let of = |name: &str| claims.get(name).cloned().unwrap_or(json!("absent"));
        [of("department"), of("phones"), of("title")]
    };
    let login = log_in(&gate, "ada", PASSWORD).await;
    assert_eq!(facts(&login), [json!("42"), json!(["1", "2"]), json!("absent")]);
    directory.modify(&format!(
        "dn: {ADA}\nchangetype: modify\ndelete: departmentNumber\n-\nreplace: telephoneNumber\ntelephoneNumber: 3\n-\n\
         add: title\ntitle: Countess\n"
    ));
    let renewed = gate.post("/api/token/refresh/").json(json!({ "refresh": login.json()["refresh"] })).await;
    assert_eq!(facts(&renewed), [json!("absent"), json!("3"), json!("Countess")]);
}
