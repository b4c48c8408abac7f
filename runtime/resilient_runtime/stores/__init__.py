"""Where decisions meet AWS: the only modules of the runtime that import boto3, and only when first used."""
