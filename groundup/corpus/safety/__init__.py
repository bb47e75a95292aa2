"""What a text may not say: personal data, secrets, and words that hurt.

safety.personal   groundup.corpus.safety.personal:Personal
safety.secrets    groundup.corpus.safety.secrets:Secrets
safety.toxicity   groundup.corpus.safety.toxicity:ToxicityStep
"""
