//! How a platform names resources: by Rollcall's id, or by kind and the platform's own id (R87).

use std::collections::HashMap;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::base::error::{Code, Refusal, Result};
use crate::base::id::{OrganizationId, ResourceId};
use crate::base::sql::statement;
use crate::base::text;
use crate::resource::kind::ResourceKind;

/// A resource, as somebody named it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResourceRef {
    /// By its id.
    Id(ResourceId),
    /// By its kind and the platform's own id.
    External(ResourceKind, String),
}

impl ResourceRef {
    /// The input field that names the resource.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::External(..) => "external",
        }
    }

    /// The refusal for a name that leads to no resource that the actor may know of, on the field that named it.
    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::new(Code::NotFound, self.field(), "there is no such resource")
    }
}

statement! {
    struct ResourcesNamed {
        ids: Array<SqlUuid> = Vec<ResourceId>,
        external_ids: Array<Text> = Vec<String>,
        kinds: Array<Text> = Vec<ResourceKind>,
    } = "SELECT r.id, r.organization_id, NULL::text AS external_id, r.kind FROM resources r WHERE r.id = ANY (:ids) \
         UNION ALL SELECT r.id, r.organization_id, r.external_id, r.kind \
         FROM unnest(:external_ids, :kinds) AS n (external_id, kind) \
         JOIN resources r ON r.external_id = n.external_id AND r.kind = n.kind"
}

/// Finds the resources that are named, each with the organization that holds it, with one statement, without checking
/// who asks.
pub async fn resolve(
    connection: &mut AsyncPgConnection,
    named: &[ResourceRef],
) -> Result<HashMap<ResourceRef, (ResourceId, OrganizationId)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        id: ResourceId,
        #[diesel(sql_type = SqlUuid)]
        organization_id: OrganizationId,
        #[diesel(sql_type = Nullable<Text>)]
        external_id: Option<String>,
        #[diesel(sql_type = Text)]
        kind: ResourceKind,
    }
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let mut asked = ResourcesNamed { ids: Vec::new(), external_ids: Vec::new(), kinds: Vec::new() };
    for name in named {
        match name {
            ResourceRef::Id(id) => asked.ids.push(*id),
            ResourceRef::External(kind, external_id) => {
                asked.external_ids.push(text::storable(external_id));
                asked.kinds.push(*kind);
            }
        }
    }
    let rows: Vec<Row> = asked.query().load(connection).await?;
    let name = |row: &Row| match &row.external_id {
        Some(external_id) => ResourceRef::External(row.kind, external_id.clone()),
        None => ResourceRef::Id(row.id),
    };
    Ok(rows.into_iter().map(|row| (name(&row), (row.id, row.organization_id))).collect())
}
