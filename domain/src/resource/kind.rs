//! The kinds of resources, and which kinds contain which.

use crate::base::text_enum::text_enum;

text_enum! {
    /// The kind of a resource.
    ResourceKind {
        /// A project.
        Project = "project",
        /// A volume.
        Volume = "volume",
        /// A sample. It stays its uploader's when they leave (R33).
        Sample = "sample",
        /// A document.
        Document = "document",
        /// A machine that a member has registered (R8, R13).
        Machine = "machine",
        /// An app. Its organization can't change once it is published (R60).
        App = "app",
        /// A workspace (R65).
        Workspace = "workspace",
        /// A source (R72).
        Source = "source",
        /// A group of sources (R72).
        SourceGroup = "source_group",
        /// A collection, which gathers resources from anywhere in the organization (R73).
        Collection = "collection",
    }
}

impl ResourceKind {
    /// The kind's name for people to read.
    pub fn label(self) -> &'static str {
        match self {
            Self::SourceGroup => "source group",
            other => other.as_str(),
        }
    }

    /// The kind's name with its article.
    pub fn with_article(self) -> String {
        let label = self.label();
        let article = if label.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {label}")
    }

    /// Whether creating one is billed to the organization (R55).
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

    /// Whether it is a file, or a source of files, whose name may look like a host name: `notes.zip`, `reads.bam`.
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

    /// The kinds that it can contain. A resource that can contain others has at most one container itself, so there are
    /// at most two containers above any resource. The SQL expression for access relies on that.
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

    /// Whether collections can gather it: every kind that neither contains nor gathers anything itself (R73).
    pub fn is_gathered(self) -> bool {
        self.holds().is_empty() && self != Self::Collection
    }

    /// Every pair of a kind that can contain others and a kind that it can contain.
    pub(super) fn pairs() -> Vec<(Self, Self)> {
        Self::ALL.iter().flat_map(|container| container.holds().iter().map(move |kind| (*container, *kind))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A resource, its container, and the container of that: no deeper nesting is possible.
    #[test]
    fn at_most_two_containers_lie_above_a_resource() {
        for (_, inner) in ResourceKind::pairs() {
            for innermost in inner.holds() {
                assert!(innermost.holds().is_empty(), "{innermost} would lie third and hold something");
            }
        }
    }
}
