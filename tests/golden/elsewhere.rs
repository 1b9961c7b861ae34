//! Where the replay against the gateway leaves the recording, with the reason. All cases are played.

/// The fields of an answer at the protected view that are not compared where the gateway refuses: which methods a
/// view has, the application knows and the gateway does not.
pub(crate) const UNKNOWN_TO_THE_GATEWAY: [&str; 1] = ["allow"];
