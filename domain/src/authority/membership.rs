//! The status of a membership, and how it began.

use crate::base::text_enum::text_enum;

text_enum! {
    /// The status of a membership.
    MemberStatus {
        /// The membership is active.
        Active = "active",
        /// Ended by the member (LEAVE).
        Left = "left",
        /// Ended by the owner or an admin (REMOVE).
        Removed = "removed",
        /// Ended by the owner or an admin (DEACTIVATE, D6).
        Deactivated = "deactivated",
    }
}

text_enum! {
    /// How someone became a member.
    JoinMethod {
        /// By founding the organization.
        Founder = "founder",
        /// By the platform's staff.
        Staff = "staff",
        /// The platform added them, or made them the owner.
        Platform = "platform",
        /// By an invitation.
        Invitation = "invitation",
        /// By a join code.
        JoinCode = "join_code",
    }
}
