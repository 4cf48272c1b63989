//! Where a membership stands, and how it began.

use crate::base::text_enum::text_enum;

text_enum! {
    /// Where a membership stands.
    MemberStatus {
        /// In force.
        Active = "active",
        /// Ended by the member (LEAVE).
        Left = "left",
        /// Ended by owner or admin (REMOVE).
        Removed = "removed",
        /// Ended by owner or admin (DEACTIVATE, D6).
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
        /// By an invitation.
        Invitation = "invitation",
        /// By a join code.
        JoinCode = "join_code",
    }
}
