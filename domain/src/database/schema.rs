// The tables as diesel knows them. A test compares them with the migrated database.

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Nullable<Text>,
        username -> Text,
        name -> Text,
        avatar_url -> Nullable<Text>,
        origin_organization_id -> Nullable<Uuid>,
        suspended_at -> Nullable<Timestamptz>,
        default_bill_to_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        folded_name -> Text,
        folded_email -> Nullable<Text>,
        external_id -> Nullable<Text>,
        metadata -> Nullable<Jsonb>,
        platform_suspension -> Nullable<Text>,
    }
}

diesel::table! {
    email_changes (id) {
        id -> Uuid,
        user_id -> Uuid,
        session_id -> Nullable<Uuid>,
        old_email -> Text,
        new_email -> Text,
        status -> Text,
        created_at -> Timestamptz,
        confirmed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    account_deletions (user_id) {
        user_id -> Uuid,
        email -> Text,
        name -> Text,
        deleted_at -> Timestamptz,
        by_platform -> Bool,
    }
}

diesel::table! {
    organizations (id) {
        id -> Uuid,
        personal_user_id -> Nullable<Uuid>,
        name -> Text,
        slug -> Nullable<Text>,
        full_name -> Nullable<Text>,
        description -> Nullable<Text>,
        website -> Nullable<Text>,
        location -> Nullable<Text>,
        sector -> Nullable<Text>,
        university_name -> Nullable<Text>,
        logo_url -> Nullable<Text>,
        member_directory -> Text,
        admin_powers -> Text,
        external_sharing -> Text,
        default_billable_activities -> Bool,
        default_shared_apps -> Bool,
        default_shared_projects -> Text,
        invitation_days -> Int4,
        created_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        deleted_by_id -> Nullable<Uuid>,
        plan -> Text,
        seat_limit -> Nullable<Int4>,
        storage_limit_bytes -> Nullable<Int8>,
        run_limit -> Nullable<Int4>,
        billing_account_name -> Nullable<Text>,
        billing_contact_email -> Nullable<Text>,
        billing_reference -> Nullable<Text>,
        offers_ended_position -> Int8,
        workspace_limit -> Nullable<Int4>,
        external_id -> Nullable<Text>,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    members (id) {
        id -> Uuid,
        organization_id -> Uuid,
        user_id -> Uuid,
        role -> Text,
        status -> Text,
        billable_activities -> Bool,
        shared_apps -> Bool,
        shared_projects -> Text,
        joined_at -> Timestamptz,
        joined_via -> Text,
        sort_name -> Text,
        search_names -> Text,
        search_email -> Nullable<Text>,
        ended_at_position -> Int8,
        issued_ended_position -> Int8,
        invites_ended_position -> Int8,
        admin_invites_ended_position -> Int8,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    sign_in_requests (id) {
        id -> Uuid,
        email -> Text,
        user_agent -> Nullable<Text>,
        invitation_id -> Nullable<Uuid>,
        digit_tries -> Int4,
        used_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        recorded -> Bool,
        form_digest -> Nullable<Bytea>,
        client -> Nullable<Text>,
        mailed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        token_digest -> Bytea,
        active_organization_id -> Nullable<Uuid>,
        user_agent -> Nullable<Text>,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    identities (id) {
        id -> Uuid,
        user_id -> Nullable<Uuid>,
        issuer -> Text,
        subject -> Text,
        email -> Nullable<Text>,
        session_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        not_before -> Nullable<Timestamptz>,
        unlinked_from -> Nullable<Uuid>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        organization_id -> Uuid,
        user_id -> Uuid,
        name -> Text,
        prefix -> Text,
        secret_digest -> Bytea,
        scope -> Text,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        service -> Bool,
    }
}

diesel::table! {
    platform_keys (id) {
        id -> Uuid,
        name -> Text,
        prefix -> Text,
        scopes -> Array<Text>,
        limited -> Bool,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    platform_key_organizations (platform_key_id, organization_id) {
        platform_key_id -> Uuid,
        organization_id -> Uuid,
    }
}

diesel::table! {
    platform_key_secrets (digest) {
        digest -> Bytea,
        platform_key_id -> Uuid,
        ends_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    attempts (bucket, subject) {
        bucket -> Text,
        subject -> Text,
        window_ends_at -> Timestamptz,
        count -> Int4,
    }
}

diesel::table! {
    invitations (id) {
        id -> Uuid,
        organization_id -> Uuid,
        email -> Nullable<Text>,
        user_id -> Nullable<Uuid>,
        name -> Nullable<Text>,
        role -> Text,
        billable_activities -> Bool,
        shared_apps -> Bool,
        shared_projects -> Text,
        invited_by_id -> Nullable<Uuid>,
        status -> Text,
        token_version -> Int4,
        delivery -> Text,
        delivery_error -> Nullable<Text>,
        created_at -> Timestamptz,
        sent_at -> Timestamptz,
        expires_at -> Timestamptz,
        position -> Int8,
        message -> Nullable<Text>,
    }
}

diesel::table! {
    join_codes (id) {
        id -> Uuid,
        organization_id -> Uuid,
        digest -> Bytea,
        role -> Text,
        status -> Text,
        label -> Nullable<Text>,
        hint -> Text,
        created_by_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_by_id -> Nullable<Uuid>,
        used_at -> Nullable<Timestamptz>,
        position -> Int8,
    }
}

diesel::table! {
    resources (id) {
        id -> Uuid,
        organization_id -> Uuid,
        kind -> Text,
        name -> Text,
        description -> Nullable<Text>,
        owner_id -> Uuid,
        owned_since -> Timestamptz,
        created_by_id -> Uuid,
        visibility -> Text,
        size_bytes -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        container_id -> Nullable<Uuid>,
        published_at -> Nullable<Timestamptz>,
        moving -> Bool,
        folded_name -> Text,
        external_id -> Nullable<Text>,
        subtype -> Nullable<Text>,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    departures (id) {
        id -> Uuid,
        organization_id -> Uuid,
        member_id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        status -> Text,
        new_owner_id -> Uuid,
        started_by_id -> Nullable<Uuid>,
        reason -> Nullable<Text>,
        role -> Text,
        suspended_account -> Bool,
        error -> Nullable<Text>,
        started_at -> Timestamptz,
        completed_at -> Nullable<Timestamptz>,
        samples_project_id -> Nullable<Uuid>,
        ended_at_position -> Int8,
        previous_ended_at_position -> Int8,
        message_to_member -> Nullable<Text>,
        told_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    departure_steps (departure_id, step) {
        departure_id -> Uuid,
        step -> Text,
        position -> Int4,
        done -> Int4,
        total -> Nullable<Int4>,
        completed_at -> Nullable<Timestamptz>,
        reached_kind -> Nullable<Text>,
        reached_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    resource_moves (id) {
        id -> Uuid,
        organization_id -> Uuid,
        departure_id -> Uuid,
        resource_id -> Nullable<Uuid>,
        resource_kind -> Text,
        resource_name -> Text,
        from_id -> Uuid,
        to_id -> Uuid,
        moved_at -> Timestamptz,
        reverted_at -> Nullable<Timestamptz>,
        kept_because -> Nullable<Text>,
        container_id -> Nullable<Uuid>,
        visibility -> Nullable<Text>,
    }
}

diesel::table! {
    audit_heads (organization_id) {
        organization_id -> Uuid,
        sequence -> Int8,
        hash -> Bytea,
        feed_position -> Int8,
    }
}

diesel::table! {
    audit_events (organization_id, sequence) {
        organization_id -> Uuid,
        sequence -> Int8,
        id -> Uuid,
        action -> Text,
        actor_kind -> Text,
        actor_id -> Nullable<Uuid>,
        target_id -> Nullable<Text>,
        summary -> Text,
        metadata -> Jsonb,
        occurred_at -> Timestamptz,
        hash -> Bytea,
        feed_position -> Int8,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Uuid,
        organization_id -> Nullable<Uuid>,
        url -> Text,
        events -> Array<Text>,
        enabled -> Bool,
        cursor -> Int8,
        failing_since -> Nullable<Timestamptz>,
        secret_version -> Int4,
        secret_made_at -> Timestamptz,
        secret_made_by_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        platform_key_id -> Nullable<Uuid>,
        kept_by_staff -> Bool,
        cursor_feed_position -> Int8,
        cursor_log_id -> Uuid,
    }
}

diesel::table! {
    webhook_previous_secrets (webhook_id, version) {
        organization_id -> Nullable<Uuid>,
        webhook_id -> Uuid,
        version -> Int4,
        ends_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_deliveries (id) {
        id -> Uuid,
        organization_id -> Nullable<Uuid>,
        webhook_id -> Uuid,
        sequence -> Int8,
        event -> Text,
        status -> Text,
        attempts -> Int4,
        response_status -> Nullable<Int4>,
        error -> Nullable<Text>,
        last_attempt_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        log_id -> Uuid,
        feed_position -> Int8,
    }
}

diesel::table! {
    teams (id) {
        id -> Uuid,
        organization_id -> Uuid,
        name -> Text,
        description -> Nullable<Text>,
        avatar_url -> Nullable<Text>,
        created_at -> Timestamptz,
        folded_name -> Text,
        external_id -> Nullable<Text>,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    team_members (team_id, user_id) {
        organization_id -> Uuid,
        team_id -> Uuid,
        user_id -> Uuid,
        added_at -> Timestamptz,
        outside -> Bool,
    }
}

diesel::table! {
    idempotency_keys (caller, key) {
        caller -> Text,
        key -> Text,
        request -> Bytea,
        steps -> Jsonb,
        answers -> Jsonb,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    invitation_teams (invitation_id, team_id) {
        organization_id -> Uuid,
        invitation_id -> Uuid,
        team_id -> Uuid,
    }
}

diesel::table! {
    invitation_grants (invitation_id, number) {
        organization_id -> Uuid,
        invitation_id -> Uuid,
        number -> Int4,
        resource_id -> Nullable<Uuid>,
        level -> Text,
    }
}

diesel::table! {
    collection_items (collection_id, resource_id) {
        organization_id -> Uuid,
        collection_id -> Uuid,
        resource_id -> Uuid,
        added_at -> Timestamptz,
        kind -> Text,
    }
}

diesel::table! {
    grants (id) {
        id -> Uuid,
        organization_id -> Uuid,
        resource_id -> Uuid,
        user_id -> Nullable<Uuid>,
        team_id -> Nullable<Uuid>,
        grantee_organization_id -> Nullable<Uuid>,
        level -> Text,
        position -> Int8,
        granted_by_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        kept_position -> Nullable<Int8>,
        named_as -> Nullable<Text>,
        outside -> Bool,
    }
}

diesel::table! {
    grant_invitations (id) {
        id -> Uuid,
        organization_id -> Uuid,
        resource_id -> Uuid,
        email -> Text,
        level -> Text,
        invited_by_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        position -> Int8,
    }
}

diesel::table! {
    organization_storage (organization_id) {
        organization_id -> Uuid,
        used_bytes -> Numeric,
    }
}

diesel::table! {
    credit_purchases (id) {
        id -> Uuid,
        organization_id -> Uuid,
        idempotency_key -> Text,
        amount -> Numeric,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    share_links (id) {
        id -> Uuid,
        organization_id -> Uuid,
        resource_id -> Uuid,
        token_digest -> Bytea,
        hint -> Text,
        created_by_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        position -> Int8,
    }
}

diesel::table! {
    project_transfers (id) {
        id -> Uuid,
        organization_id -> Uuid,
        resource_id -> Uuid,
        to_organization_id -> Nullable<Uuid>,
        offered_by_id -> Uuid,
        recipient_id -> Uuid,
        status -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        moved_at -> Nullable<Timestamptz>,
        resource_name -> Text,
        resource_owner_id -> Uuid,
        resource_size_bytes -> Int8,
        position -> Int8,
        recipient_named_as -> Nullable<Text>,
    }
}

diesel::table! {
    runs (id) {
        id -> Uuid,
        organization_id -> Uuid,
        kind -> Text,
        name -> Text,
        status -> Text,
        resource_id -> Nullable<Uuid>,
        queued_by_id -> Uuid,
        queued_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        cpu_hours -> Numeric,
        memory_gib_hours -> Numeric,
        credits -> Numeric,
    }
}

diesel::table! {
    run_counts (organization_id, kind) {
        organization_id -> Uuid,
        kind -> Text,
        total -> Int8,
        queued -> Int8,
        running -> Int8,
    }
}

diesel::table! {
    run_limits (organization_id, kind) {
        organization_id -> Uuid,
        kind -> Text,
        run_limit -> Int4,
    }
}

diesel::table! {
    run_days (organization_id, day) {
        organization_id -> Uuid,
        day -> Date,
        total -> Int8,
    }
}

diesel::table! {
    usage_entries (id) {
        id -> Uuid,
        organization_id -> Uuid,
        kind -> Text,
        quantity -> Numeric,
        credits -> Numeric,
        region -> Nullable<Text>,
        user_id -> Nullable<Uuid>,
        workspace_id -> Nullable<Uuid>,
        run_id -> Nullable<Uuid>,
        key_scope -> Nullable<Uuid>,
        idempotency_key -> Nullable<Text>,
        occurred_at -> Timestamptz,
        recorded_at -> Timestamptz,
        of_any_reporter -> Bool,
    }
}

diesel::table! {
    organization_credits (organization_id) {
        organization_id -> Uuid,
        purchases -> Int4,
        purchased -> Numeric,
        spent -> Numeric,
        told_percent -> Int4,
    }
}

diesel::table! {
    usage_totals (organization_id, grouped_by, span, starts_on, key) {
        organization_id -> Uuid,
        span -> Text,
        grouped_by -> Text,
        starts_on -> Date,
        key -> Text,
        quantity -> Nullable<Numeric>,
        credits -> Numeric,
    }
}

diesel::table! {
    metered_days (day) {
        day -> Date,
        reached_id -> Nullable<Uuid>,
        completed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    upgrade_requests (id) {
        id -> Uuid,
        organization_id -> Uuid,
        user_id -> Uuid,
        message -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    reserved_names (kind, name) {
        kind -> Text,
        name -> Text,
        holder_id -> Nullable<Uuid>,
        reserved_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    text_forms (only_row) {
        only_row -> Bool,
        version -> Int4,
    }
}

diesel::table! {
    /// How far the positions of the feed are ahead of this server's transaction ids.
    feed_clock (id) {
        id -> Bool,
        ahead -> Int8,
    }
}

diesel::table! {
    /// The fingerprint of the deployment's secret with which the digests in this database are made.
    secret_fingerprint (id) {
        id -> Bool,
        fingerprint -> Bytea,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    email_changes,
    account_deletions,
    organizations,
    members,
    sign_in_requests,
    sessions,
    identities,
    api_keys,
    platform_keys,
    platform_key_organizations,
    platform_key_secrets,
    attempts,
    invitations,
    join_codes,
    resources,
    departures,
    departure_steps,
    resource_moves,
    audit_heads,
    audit_events,
    webhooks,
    webhook_previous_secrets,
    webhook_deliveries,
    teams,
    team_members,
    idempotency_keys,
    invitation_teams,
    invitation_grants,
    collection_items,
    grants,
    grant_invitations,
    share_links,
    organization_storage,
    credit_purchases,
    project_transfers,
    runs,
    run_counts,
    run_limits,
    run_days,
    usage_entries,
    organization_credits,
    usage_totals,
    metered_days,
    upgrade_requests,
    reserved_names,
);
