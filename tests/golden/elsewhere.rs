//! Where the replay leaves the recording, by the names of cases, each with the reason.

use crate::wire::Whose;

/// The cases that are not replayed against the gateway.
pub(crate) const REASONS: [(&str, &[&str]); 1] = [(
    "needs SimpleJWT's own table of outstanding tokens, which keeps their texts",
    &["admin.outstanding_row", "admin.rotation_rows", "sliding.outstanding_row"],
)];

/// The fields of an answer at the protected view that are not compared where the gateway refuses: which methods a
/// view has, the application knows and the gateway does not.
pub(crate) const UNKNOWN_TO_THE_GATEWAY: [&str; 1] = ["allow"];

/// The reason why a case is not replayed.
pub(crate) fn reason(case: &str, whose: Whose) -> Option<&'static str> {
    let listed = REASONS.iter().find(|(_, names)| names.contains(&case)).map(|(reason, _)| *reason);
    listed.filter(|_| whose == Whose::Ours)
}
