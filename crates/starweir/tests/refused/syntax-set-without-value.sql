SET 'pipeline.name';
