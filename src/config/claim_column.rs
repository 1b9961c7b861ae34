//! `{ column: … }` of `issuer.claims`: what else the place of users knows, asked for by its name there.

use crate::base::ClaimPath;

use super::mistake::MistakeKind;
use super::model::{ClaimSource, DjangoUsers, Users};
use super::users::{is_attribute, is_identifier};
use super::walk::Node;

/// What Django's users have by these names without a column of their own.
const OF_DJANGO: [&str; 2] = ["groups", "is_superuser"];

/// Reads the name, as the place of `users` has names.
pub(super) fn read(node: &Node<'_>, users: Option<&Users>) -> Option<String> {
    let name = node.words("the name of a column")?;
    match users {
        Some(Users::Django(django)) => of_django(node, django, name),
        Some(Users::Ldap(_)) if !is_attribute(&name) => node.expected("the name of an attribute"),
        Some(Users::Ldap(_)) if name.eq_ignore_ascii_case("userPassword") => node.refuse(secret()),
        Some(Users::Http(_)) if name.parse::<ClaimPath>().is_err() => node.expected("a member of the answer"),
        Some(Users::Own | Users::File(_)) => {
            node.warn("nothing more is known of users who live here: no token has this claim");
            Some(name)
        }
        Some(Users::Ldap(_) | Users::Http(_)) | None => Some(name),
    }
}

fn of_django(node: &Node<'_>, django: &DjangoUsers, name: String) -> Option<String> {
    if !is_identifier(&name) {
        return node.expected("a name of letters, digits and \"_\"");
    }
    if name.eq_ignore_ascii_case(&django.columns.password) {
        return node.refuse(secret());
    }
    Some(name)
}

fn secret() -> MistakeKind {
    let expected = "what everybody may know who sees a token".to_owned();
    MistakeKind::Expected { expected, found: "the hash of the password".to_owned() }
}

/// Lets the place of users be asked for what the claims name.
pub(super) fn ask_for(claims: &[(String, ClaimSource)], users: &mut Users) {
    for (_, source) in claims {
        let ClaimSource::Column(name) = source else { continue };
        match users {
            Users::Django(django) if !OF_DJANGO.contains(&name.as_str()) => add(&mut django.more, name),
            Users::Ldap(ldap) => add(&mut ldap.more, name),
            Users::Http(http) => {
                if let Ok(path) = name.parse()
                    && !http.more.iter().any(|(known, _)| known == name)
                {
                    http.more.push((name.clone(), path));
                }
            }
            Users::Django(_) | Users::Own | Users::File(_) => {}
        }
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const LDAP: &str = "{ ldap: { url: 'ldaps://ldap.example.com', user_dn: 'uid={username}' } }";
    const DJANGO: &str = "{ django: { database: 'sqlite://site.db' } }";
    const HTTP: &str = "{ http: { url: 'https://app.example.com/login' } }";

    fn read(users: &str, column: &str) -> Result<config::Config, config::Mistakes> {
        let claims = format!("{{ a: {{ column: {column} }}, b: {{ column: {column} }} }}");
        let file = format!("issuer: {{ users: {users}, claims: {claims} }}");
        config::read_text(&file, Path::new("gateway.yaml"), &|_| None)
    }

    #[test]
    fn the_place_of_users_is_asked_once_for_what_claims_name() {
        let more = |users, column| match read(users, column).expect("valid").issuer.map(|issuer| issuer.users)
        {
            Some(Users::Django(django)) => django.more.clone(),
            Some(Users::Ldap(ldap)) => ldap.more.clone(),
            Some(Users::Http(http)) => http.more.iter().map(|(name, _)| name.clone()).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(more(DJANGO, "team_id"), ["team_id"]);
        assert_eq!(more(DJANGO, "is_superuser"), Vec::<String>::new());
        assert_eq!(more(LDAP, "employeeNumber"), ["employeeNumber"]);
        assert_eq!(more(HTTP, "user.team"), ["user.team"]);
    }

    #[test]
    fn what_can_be_no_name_there_or_is_a_secret_is_refused() {
        for (users, column, said) in [
            (DJANGO, "'a;b'", "letters, digits"),
            (DJANGO, "Password", "hash of the password"),
            (LDAP, "a_b", "the name of an attribute"),
            (LDAP, "userpassword", "hash of the password"),
            (HTTP, "a..b", "a member of the answer"),
        ] {
            let mistakes = read(users, column).expect_err("refused").to_string();
            assert!(mistakes.contains(said), "{column}: {mistakes}");
        }
        let own = read("own", "team").expect("valid");
        assert!(own.warnings.iter().any(|warning| warning.message.contains("no token has this claim")));
    }
}
