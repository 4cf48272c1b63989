DROP INDEX members_reach_idx;
