//! The cases of profile A that are not replayed here, by name, each with the reason.

/// Why a case is not replayed.
pub(crate) const REASONS: [(&str, &[&str]); 2] = [
    (
        "needs a protected route, which the library has none of",
        &[
            "auth.bearer_alone",
            "auth.bearer_blank",
            "auth.empty_header",
            "auth.extra_claims",
            "auth.head_none",
            "auth.inactive_user",
            "auth.messages_bytes",
            "auth.no_user_claim",
            "auth.none",
            "auth.options_no_token",
            "auth.unknown_user",
            "auth.user_id_null",
            "auth.user_id_number",
            "auth.wrong_method_no_token",
            "bad.alg_missing.access",
            "bad.alg_none.access",
            "bad.alg_other.access",
            "bad.crit_unknown.access",
            "bad.exp_missing.access",
            "bad.exp_not_number.access",
            "bad.expired.access",
            "bad.expired_and_wrong_type.access",
            "bad.garbage.access",
            "bad.iat_future.access",
            "bad.jti_missing.access",
            "bad.jti_not_string.access",
            "bad.kid_not_string.access",
            "bad.nbf_future.access",
            "bad.payload_not_json.access",
            "bad.payload_not_object.access",
            "bad.sub_not_string.access",
            "bad.type_missing.access",
            "bad.type_wrong_case.access",
            "bad.wrong_key.access",
            "revoke.ignored_when_off",
        ],
    ),
    (
        "needs SimpleJWT's own table of outstanding tokens, which keeps their texts",
        &["admin.outstanding_row", "admin.rotation_rows"],
    ),
];

/// The reason for one case.
pub(crate) fn reason(case: &str) -> Option<&'static str> {
    REASONS.iter().find(|(_, names)| names.contains(&case)).map(|(reason, _)| *reason)
}
