//! Who can suspend an account, and what is refused because of that.

use crate::base::error::{Code, Reader, Refusal};
use crate::base::text::EmailAddress;
use crate::base::text_enum::text_enum;

text_enum! {
    /// A suspension by the platform, which only the platform lifts (R84).
    PlatformSuspension {
        /// The person was told by email.
        Told = "told",
        /// The person wasn't told, for example because the account is abused.
        Silent = "silent",
    }
}

/// Who suspended an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspension {
    /// The organization that created the account. An organization's invitation lifts it (D6).
    ByOrganization,
    /// The platform. Sessions and keys rest until the platform lifts it (R84).
    ByPlatform,
}

impl Suspension {
    /// The refusal for an action on the suspended account, worded for its reader. `support` is the address that people
    /// can write to, if the deployment has one.
    pub(crate) fn refusal(self, reader: Reader, support: Option<&EmailAddress>, field: &str) -> Refusal {
        let message = match (self, reader) {
            (Self::ByOrganization, Reader::Themselves) => {
                "this account is suspended; accept an organization's invitation to lift that".to_owned()
            }
            (Self::ByOrganization, Reader::Another) => {
                "their account is suspended, which lasts until they accept an organization's invitation".to_owned()
            }
            (Self::ByPlatform, Reader::Themselves) => match support {
                Some(support) => {
                    format!("the platform has suspended this account; write to {support} if you have questions")
                }
                None => "the platform has suspended this account; ask its staff if you have questions".to_owned(),
            },
            (Self::ByPlatform, Reader::Another) => {
                "the platform has suspended their account, and only the platform lifts that".to_owned()
            }
        };
        Refusal::new(Code::Suspended, field, message)
    }
}
