# The newcomer's door: a real cluster on this machine, and the dev stack on it.
.PHONY: up sandbox preview down sandbox-down reset test check
.DEFAULT_GOAL := up

python := .sandbox/venv/bin/python
sandbox := $(python) -m sandbox
pulumi := $(sandbox) pulumi --

up: .sandbox/venv/ready ## bring the dev stack up, on the sandbox unless its settings name another cluster
	@$(sandbox) up --stack dev
	@$(pulumi) stack select --create dev
	@$(pulumi) up --stack dev --yes --skip-preview --continue-on-error

sandbox: .sandbox/venv/ready ## start the sandbox alone
	@$(sandbox) up

preview: .sandbox/venv/ready ## show what `make up` would change
	@$(pulumi) preview --stack dev --diff

down sandbox-down: .sandbox/venv/ready ## stop the sandbox; images and state stay
	@$(sandbox) down

reset: .sandbox/venv/ready ## stop the sandbox and forget its images and state
	@$(sandbox) reset

test: .sandbox/venv/ready ## every test, on the sandbox
	@$(python) -m pytest

check: .sandbox/venv/ready ## linter and type checker
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy .

.sandbox/venv/ready: requirements.txt requirements-dev.txt sandbox/requirements.txt constraints.txt
	@echo "python packages: installing into .sandbox/venv"
	@python3 -m venv .sandbox/venv
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@
