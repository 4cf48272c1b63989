//! The kinds of resources, and which of them lie in which.

use crate::base::text_enum::text_enum;

text_enum! {
    /// What a resource is.
    ResourceKind {
        /// A project.
        Project = "project",
        /// A volume.
        Volume = "volume",
        /// A sample; it stays its uploader's when they leave (R33).
        Sample = "sample",
        /// A document.
        Document = "document",
        /// A machine that a member has registered (R8, R13).
        Machine = "machine",
        /// An app; its organization can't change once it is published (R60).
        App = "app",
        /// A workspace (R65).
        Workspace = "workspace",
        /// A source (R72).
        Source = "source",
        /// A group of sources (R72).
        SourceGroup = "source_group",
        /// What gathers resources from wherever they lie (R73).
        Collection = "collection",
    }
}

impl ResourceKind {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::SourceGroup => "source group",
            other => other.as_str(),
        }
    }

    /// The same with its article.
    pub fn with_article(self) -> String {
        let label = self.label();
        let article = if label.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {label}")
    }

    /// Whether creating one bills to the organization (R55).
    pub fn is_billable(self) -> bool {
        match self {
            Self::Project | Self::App => true,
            Self::Volume
            | Self::Sample
            | Self::Document
            | Self::Machine
            | Self::Workspace
            | Self::Source
            | Self::SourceGroup
            | Self::Collection => false,
        }
    }

    /// Whether it is a file, or a source of some, which may be called like a host: `notes.zip`, `reads.bam`.
    pub fn is_file(self) -> bool {
        match self {
            Self::Sample | Self::Document | Self::Source => true,
            Self::Project
            | Self::Volume
            | Self::Machine
            | Self::App
            | Self::Workspace
            | Self::SourceGroup
            | Self::Collection => false,
        }
    }

    /// Which kinds lie in it. Nothing that holds something lies deeper than in one container, so that at most two lie
    /// above a resource: the expression of access counts on that.
    pub fn holds(self) -> &'static [Self] {
        match self {
            Self::Workspace => &[
                Self::Project,
                Self::Volume,
                Self::Document,
                Self::Machine,
                Self::App,
                Self::Source,
                Self::SourceGroup,
                Self::Collection,
            ],
            Self::Project => &[Self::Volume, Self::Sample, Self::Document, Self::App],
            Self::SourceGroup => &[Self::Source],
            Self::Volume
            | Self::Sample
            | Self::Document
            | Self::Machine
            | Self::App
            | Self::Source
            | Self::Collection => &[],
        }
    }

    /// Whether collections gather it: whatever holds and gathers nothing itself (R73).
    pub fn is_gathered(self) -> bool {
        self.holds().is_empty() && self != Self::Collection
    }

    /// Every kind that holds others, with what it holds: a pair each.
    pub(super) fn pairs() -> Vec<(Self, Self)> {
        Self::ALL.iter().flat_map(|container| container.holds().iter().map(move |kind| (*container, *kind))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A resource, what it lies in, and what that lies in: no deeper.
    #[test]
    fn at_most_two_containers_lie_above_a_resource() {
        for (_, inner) in ResourceKind::pairs() {
            for innermost in inner.holds() {
                assert!(innermost.holds().is_empty(), "{innermost} would lie third and hold something");
            }
        }
    }
}
