-- Why a reference is a poor one: codes, a space between two. `pixels` are the sums of its pixels, 32 bytes each, where
-- there is a doubt.
ALTER TABLE reference ADD COLUMN doubts TEXT NOT NULL DEFAULT '';
ALTER TABLE reference ADD COLUMN pixels BLOB;
CREATE INDEX reference_in_doubt ON reference (state) WHERE doubts <> '';

-- Of the references that are here, only the size is known without their photos.
UPDATE gallery SET revision = revision + 1
    WHERE EXISTS (SELECT 1 FROM reference WHERE state <> 'deleted' AND min(width, height) < 32);
UPDATE reference SET doubts = 'too-small', revision = iif(state = 'staged', revision, (SELECT revision FROM gallery))
    WHERE state <> 'deleted' AND min(width, height) < 32;
