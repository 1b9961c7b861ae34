//! Where the replay leaves the recording, by the names of cases, each with the reason.

/// The cases of profile A that are not replayed.
pub(crate) const REASONS: [(&str, &[&str]); 1] = [(
    "needs SimpleJWT's own table of outstanding tokens, which keeps their texts",
    &["admin.outstanding_row", "admin.rotation_rows"],
)];

/// The cases in which the gateway's route does not refuse with 401 as the recorded view does: what it answers.
pub(crate) const ANOTHER_ANSWER: [(u16, &str, &[&str]); 4] = [
    (200, "RFC 9110, section 11.1: the scheme is compared without case", &["auth.lower_case_scheme"]),
    (
        200,
        "an access token is good for its few minutes: no database is asked about its user",
        &["auth.inactive_user", "auth.unknown_user", "admin.deactivated", "admin.deleted"],
    ),
    (
        403,
        "the token is good, but a claim that the route maps is absent",
        &["auth.no_user_claim", "auth.user_id_null"],
    ),
    (400, "RFC 6750, section 3.1: more than one set of credentials", &["auth.two_headers_same"]),
];

/// The reason why a case is not replayed.
pub(crate) fn reason(case: &str) -> Option<&'static str> {
    REASONS.iter().find(|(_, names)| names.contains(&case)).map(|(reason, _)| *reason)
}

/// What the gateway's route answers instead of 401.
pub(crate) fn refusal(case: &str) -> Option<u16> {
    ANOTHER_ANSWER.iter().find(|(_, _, names)| names.contains(&case)).map(|(status, _, _)| *status)
}
