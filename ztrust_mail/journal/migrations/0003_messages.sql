-- Why a run was made, in the words of whoever made it; empty where nothing was said.
ALTER TABLE runs ADD COLUMN message TEXT NOT NULL DEFAULT '';
