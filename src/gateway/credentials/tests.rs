//! Tests of [`Credentials`](super::Credentials): what is read, and what is left.

use super::*;
use http::Request;
use proptest::prelude::*;

fn bearer(name: HeaderName, schemes: &[&str]) -> TokenSource {
    TokenSource::Header { name, schemes: schemes.iter().copied().map(str::to_owned).collect() }
}

fn authorization() -> TokenSource {
    bearer(AUTHORIZATION, &["Bearer"])
}

fn cookie() -> TokenSource {
    TokenSource::Cookie("access".to_owned())
}

fn query() -> TokenSource {
    TokenSource::Query("access_token".to_owned())
}

fn protocol(after: Option<&str>) -> TokenSource {
    TokenSource::WebSocketProtocol { after: after.map(str::to_owned) }
}

fn head(target: &str, fields: &[(HeaderName, &str)]) -> request::Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    request.body(()).expect("a request").into_parts().0
}

fn shown(sources: &[TokenSource], target: &str, fields: &[(HeaderName, &str)]) -> String {
    match Credentials::new(sources).presented(&head(target, fields)) {
        Presented::Token(text) => String::from_utf8_lossy(&text).into_owned(),
        other => format!("{other:?}"),
    }
}

/// The fields of this name that are left.
fn left(sources: &[TokenSource], name: &HeaderName, values: &[&str]) -> Vec<String> {
    let fields: Vec<_> = values.iter().map(|value| (name.clone(), *value)).collect();
    let mut headers = head("/", &fields).headers;
    Credentials::new(sources).remove(&mut headers);
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn left_of(target: &str) -> String {
    let uri: Uri = target.parse().expect("a target");
    without_parameter(uri, "access_token").to_string()
}

mod in_a_header {
    use super::*;

    fn shown(fields: &[&str]) -> String {
        let fields: Vec<_> = fields.iter().map(|field| (AUTHORIZATION, *field)).collect();
        super::shown(&[authorization()], "/", &fields)
    }

    #[test]
    fn reads_a_bearer_token_with_the_scheme_in_any_case() {
        for field in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer\ta.b.c "] {
            assert_eq!(shown(&[field]), "a.b.c", "{field:?}");
        }
    }

    #[test]
    fn tells_nothing_from_something_bad() {
        assert_eq!(shown(&[]), "Nothing");
        for field in ["", "Basic Zm9v", "Token a.b.c", "Bearera.b.c", "a.b.c"] {
            assert_eq!(shown(&[field]), "Nothing", "{field:?}");
        }
        for field in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,\tBearer b"] {
            assert_eq!(shown(&[field]), "Unusable", "{field:?}");
        }
        assert_eq!(shown(&["Bearer a", "Bearer a"]), "Several");
    }

    #[test]
    fn in_simplejwts_manner_several_fields_are_one_joined_by_commas() {
        let shown = |fields: &[&str]| {
            let fields: Vec<_> = fields.iter().map(|field| (AUTHORIZATION, *field)).collect();
            let head = head("/", &fields);
            match Credentials::new(&[authorization()]).read_exactly(true).presented(&head) {
                Presented::Token(text) => String::from_utf8_lossy(&text).into_owned(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(shown(&["Bearer a"]), "a");
        assert_eq!(shown(&["Bearer a", ""]), "a,");
        assert_eq!(shown(&["Bearer a", "b", "c"]), "a,b,c");
        assert_eq!(shown(&["Bearer", "a"]), "Nothing");
        assert_eq!(shown(&["Basic a", "Bearer b"]), "Nothing");
        assert_eq!(shown(&["Bearer a", "Bearer b"]), "Unusable");
    }

    #[test]
    fn a_usual_token_is_not_copied() {
        let head = head("/", &[(AUTHORIZATION, "Bearer a.b.c")]);
        let credentials = Credentials::new(&[authorization()]);
        assert!(matches!(credentials.presented(&head), Presented::Token(Cow::Borrowed(_))));
    }

    #[test]
    fn schemes_are_those_of_the_file_or_none() {
        let own = HeaderName::from_static("x-api-token");
        let two = [bearer(AUTHORIZATION, &["JWT", "Bearer"])];
        for field in ["JWT t", "jwt t", "Bearer t"] {
            assert_eq!(super::shown(&two, "/", &[(AUTHORIZATION, field)]), "t");
        }
        assert_eq!(
            super::shown(&[bearer(AUTHORIZATION, &["JWT"])], "/", &[(AUTHORIZATION, "Bearer t")]),
            "Nothing"
        );
        let whole = [bearer(own.clone(), &[])];
        for (field, read) in [("t", "t"), (" t ", "t"), ("", "Nothing"), ("Bearer t", "Unusable")] {
            assert_eq!(super::shown(&whole, "/", &[(own.clone(), field)]), read, "{field:?}");
        }
        assert_eq!(Credentials::new(&two).scheme(), "JWT");
        assert_eq!(
            Credentials::new(&[cookie(), bearer(own, &[]), bearer(AUTHORIZATION, &["A"])]).scheme(),
            "A"
        );
        assert_eq!(Credentials::new(&[cookie()]).scheme(), "Bearer");
    }

    #[test]
    fn other_spellings_of_its_name_go_whatever_is_forwarded() {
        let own = HeaderName::from_static("x-api-token");
        let other = HeaderName::from_static("x_api_token");
        let auth = |sources: &[TokenSource]| Auth::Required {
            expires_in_header: false,
            providers: crate::gateway::snapshot::Providers::default(),
            mode: crate::config::AuthMode::Enforce,
            credentials: Credentials::new(sources),
            refusals: crate::config::RefusalForm::Standard,
            standing_check: None,
        };
        let auth = auth(&[bearer(own.clone(), &[])]);
        for (forwarding, forwarded) in [(TokenForwarding::Forward, true), (TokenForwarding::Remove, false)] {
            let mut headers = head("/", &[(own.clone(), "t"), (other.clone(), "forged")]).headers;
            auth.settle_credentials(forwarding, &mut headers);
            assert_eq!((headers.contains_key(&own), headers.contains_key(&other)), (forwarded, false));
        }
    }
}

#[test]
fn more_than_one_token_in_all_places_together_is_too_many() {
    let sources = [authorization(), cookie(), query(), protocol(Some("bearer"))];
    let fields = [(AUTHORIZATION, "Bearer t"), (COOKIE, "access=t"), (SEC_WEBSOCKET_PROTOCOL, "bearer, t")];
    for (index, field) in fields.iter().enumerate() {
        assert_eq!(shown(&sources, "/", std::slice::from_ref(field)), "t");
        assert_eq!(shown(&sources, "/?access_token=t", std::slice::from_ref(field)), "Several");
        for other in &fields[..index] {
            assert_eq!(shown(&sources, "/", &[field.clone(), other.clone()]), "Several");
        }
    }
    assert_eq!(shown(&sources, "/?access_token=t", &[]), "t");
    assert_eq!(shown(&sources, "/?access_token=", &[(COOKIE, "access=; access=\"\"")]), "Nothing");
    assert_eq!(shown(&[cookie()], "/?access_token=t", &[(AUTHORIZATION, "Bearer t")]), "Nothing");
}

mod in_a_cookie {
    use super::*;

    #[test]
    fn reads_the_cookie_of_that_name_wherever_it_stands() {
        for field in
            ["access=t", "a=b; access=t", "a=b;access=t;c", " access = t ", "access=\"t\"", "=; access=t"]
        {
            assert_eq!(shown(&[cookie()], "/", &[(COOKIE, field)]), "t", "{field:?}");
        }
        for field in ["", "Access=t", "access", "xaccess=t", "a=access=t", "access=", "access=\"\""] {
            assert_eq!(shown(&[cookie()], "/", &[(COOKIE, field)]), "Nothing", "{field:?}");
        }
        for field in ["access=a b", "access=é", "access=\"a\tb\""] {
            assert_eq!(shown(&[cookie()], "/", &[(COOKIE, field)]), "Unusable", "{field:?}");
        }
        assert_eq!(shown(&[cookie()], "/", &[(COOKIE, "a=b"), (COOKIE, "access=t")]), "t");
        for fields in [&["access=t; access=t"][..], &["access=t", "access=u"]] {
            let fields: Vec<_> = fields.iter().map(|field| (COOKIE, *field)).collect();
            assert_eq!(shown(&[cookie()], "/", &fields), "Several", "{fields:?}");
        }
    }

    #[test]
    fn leaves_other_cookies_as_they_are() {
        for (field, rest) in [
            ("access=t", ""),
            ("access=t; a=b", "a=b"),
            ("a=b; access=t", "a=b"),
            ("a=b; access=t; c=\"d e\" ;f", "a=b; c=\"d e\" ;f"),
            ("access=t;access=u; Access=v", "Access=v"),
            ("a=access=t", "a=access=t"),
        ] {
            let expected: Vec<String> = if rest.is_empty() { vec![] } else { vec![rest.to_owned()] };
            assert_eq!(left(&[cookie()], &COOKIE, &[field]), expected, "{field:?}");
        }
        assert_eq!(left(&[cookie()], &COOKIE, &["a=b", "access=t", "c=d"]), ["a=b", "c=d"]);
    }

    proptest! {
        #[test]
        fn any_field_is_read_and_what_is_left_holds_no_token(field in "(access|a|=|;|; |\"|\\\\|é|%3d|t| |,){0,16}") {
            let before = shown(&[cookie()], "/", &[(COOKIE, &field)]);
            let rest = left(&[cookie()], &COOKIE, &[&field]).concat();
            prop_assert_eq!(shown(&[cookie()], "/", &[(COOKIE, &rest)]), "Nothing");
            let is_other = |crumb: &&str| cookie_value(crumb.as_bytes(), "access").is_none();
            let others = |text: &str| text.split(';').filter(is_other).map(|crumb| crumb.trim_start().to_owned()).filter(|crumb| !crumb.is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(others(&field), others(&rest), "{}", before);
        }

        #[test]
        fn the_others_stay_byte_for_byte(
            before in prop::collection::vec("[b-z]{1,3}(=[a-z\" ]{0,3}[a-z\"])?", 0..3),
            after in prop::collection::vec("[b-z]{1,3}(=[a-z\" ]{0,3}[a-z\"])?", 0..3),
        ) {
            let others = [before.clone(), after.clone()].concat().join("; ");
            let all = [before, vec!["access=t".to_owned()], after].concat().join("; ");
            prop_assert_eq!(shown(&[cookie()], "/", &[(COOKIE, &all)]), "t");
            prop_assert_eq!(left(&[cookie()], &COOKIE, &[&all]).concat(), others);
        }
    }
}

mod in_the_query {
    use super::*;

    #[test]
    fn reads_the_parameter_of_that_name_whichever_way_it_is_escaped() {
        for target in
            ["/?access_token=t", "/?a=b&access_token=t&c", "/?access%5Ftoken=%74", "/?%61ccess_token=t#x"]
        {
            assert_eq!(shown(&[query()], target, &[]), "t", "{target}");
        }
        for target in
            ["/", "/?", "/?access_token", "/?access_token=", "/?Access_Token=t", "/?a=access_token=t"]
        {
            assert_eq!(shown(&[query()], target, &[]), "Nothing", "{target}");
        }
        for target in ["/?access_token=a%20b", "/?access_token=%00", "/?access_token=%C3%A9"] {
            assert_eq!(shown(&[query()], target, &[]), "Unusable", "{target}");
        }
        assert_eq!(shown(&[query()], "/?access_token=t&access_token=t", &[]), "Several");
        assert_eq!(shown(&[query()], "/?access_token=t%2Bu/v%3D%3D", &[]), "t+u/v==");
    }

    #[test]
    fn leaves_path_and_other_parameters_as_they_are() {
        for (target, rest) in [
            ("/a?access_token=t", "/a"),
            ("/a?access_token=t&b=c", "/a?b=c"),
            ("/a?b=c&access_token=t", "/a?b=c"),
            ("/a?b=%41&access%5ftoken=t&&c=+;d", "/a?b=%41&&c=+;d"),
            ("/a?access_token", "/a"),
            ("/a?", "/a?"),
            ("/a?b", "/a?b"),
            ("/%61?access_token=t&access_token=u&b", "/%61?b"),
        ] {
            assert_eq!(left_of(target), rest, "{target}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_and_what_is_left_holds_no_token(query in "(access_token|%61ccess_token|a|=|&|%|%4|%00|\\+|;|\\?|/|é){0,16}") {
            let target = format!("/?{query}");
            let _ = shown(&[super::query()], &target, &[]);
            let rest = left_of(&target);
            prop_assert_eq!(shown(&[super::query()], &rest, &[]), "Nothing");
            let is_other = |part: &&str| parameter_value(part.as_bytes(), "access_token").is_none();
            let others = query.split('&').filter(is_other).collect::<Vec<_>>().join("&");
            prop_assert_eq!(rest.split_once('?').map_or("", |(_, rest)| rest), others);
        }
    }
}

mod in_the_websocket_protocol {
    use super::*;

    fn shown(after: Option<&str>, fields: &[&str]) -> String {
        let fields: Vec<_> = fields.iter().map(|field| (SEC_WEBSOCKET_PROTOCOL, *field)).collect();
        super::shown(&[protocol(after)], "/", &fields)
    }

    #[test]
    fn a_token_is_the_entry_after_the_name_or_has_the_form_of_one() {
        for field in ["bearer, t", "bearer,t", "chat, bearer,, t", "bearer, t, chat"] {
            assert_eq!(shown(Some("bearer"), &[field]), "t", "{field:?}");
        }
        assert_eq!(shown(Some("bearer"), &["chat, bearer", "t"]), "t");
        for field in ["", "chat", "Bearer, t", "t, chat"] {
            assert_eq!(shown(Some("bearer"), &[field]), "Nothing", "{field:?}");
        }
        assert_eq!(shown(Some("bearer"), &["chat, bearer"]), "Unusable");
        assert_eq!(shown(Some("bearer"), &["bearer, t, bearer, u"]), "Several");
        assert_eq!(shown(None, &["chat, eyJ.b.c"]), "eyJ.b.c");
        assert_eq!(shown(None, &["chat.v1.x, ey.b"]), "Nothing");
        assert_eq!(shown(None, &["eyJ.b.c", "eyJ.b.d"]), "Several");
    }

    #[test]
    fn leaves_the_other_entries_as_they_are() {
        let left = |after, fields: &[&str]| left(&[protocol(after)], &SEC_WEBSOCKET_PROTOCOL, fields);
        assert_eq!(left(Some("bearer"), &["chat, bearer, t,v2"]), ["chat, bearer,v2"]);
        assert_eq!(left(Some("bearer"), &["chat, bearer", "t"]), ["chat, bearer"]);
        assert_eq!(left(None, &["eyJ.b.c, chat"]), ["chat"]);
        assert_eq!(left(None, &["eyJ.b.c"]), Vec::<String>::new());
    }
}
