-- What somebody was named by who shared something with them or offered it, such as an address: whoever may not know more of them is shown
-- this. Nothing where an id named them.
ALTER TABLE grants ADD COLUMN named_as text;
ALTER TABLE project_transfers ADD COLUMN recipient_named_as text;
