-- `kind` is what the brand says; null leaves it to `kind_found`, what the picture seems to be.
ALTER TABLE reference ADD COLUMN kind TEXT CHECK (kind IN ('photo', 'logo'));
ALTER TABLE reference ADD COLUMN kind_found TEXT NOT NULL DEFAULT 'photo' CHECK (kind_found IN ('photo', 'logo'));
