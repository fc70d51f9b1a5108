# The newcomer's door: a real cluster on this machine, and the dev stack on it.
.PHONY: up sandbox preview preview-all verify adopt down sandbox-down reset test check schema
.DEFAULT_GOAL := up

# The stack; dev is the sandbox's.
STACK := dev

python := .sandbox/venv/bin/python
sandbox := $(python) -m sandbox
pulumi := $(sandbox) pulumi --stack $(STACK) --
is_dev := $(filter dev,$(STACK))
schema := docs/stack-file.schema.json

up: .sandbox/venv/ready ## bring the stack up, and the sandbox first if the stack's settings name it
	@$(sandbox) up --stack $(STACK)
	@$(if $(is_dev),$(sandbox) pulumi -- stack select --create dev)
	@$(pulumi) up --continue-on-error $(if $(is_dev),--yes --skip-preview)

sandbox: .sandbox/venv/ready ## start the sandbox alone
	@$(sandbox) up

preview: .sandbox/venv/ready ## show what `make up` would change
	@$(pulumi) preview --diff

verify: .sandbox/venv/ready ## prove that the registry of STACK does what it should
	@eval "$$($(sandbox) env --stack $(STACK))" && $(python) -m verify --stack $(STACK)

adopt: .sandbox/venv/ready ## take a registry that was made by hand into STACK
	@eval "$$($(sandbox) env --stack $(STACK))" && $(python) -m adoption --stack $(STACK)

preview-all: .sandbox/venv/ready ## preview every stack with the policy pack, into one page
	@pipeline/preview-all dev lab prod

down sandbox-down: .sandbox/venv/ready ## stop the sandbox; images and state stay
	@$(sandbox) down

reset: .sandbox/venv/ready ## stop the sandbox and forget its images and state
	@$(sandbox) reset

test: .sandbox/venv/ready ## every test, on the sandbox
	@$(sandbox) up --for-tests
	@$(python) -m pytest --numprocesses=2

check: .sandbox/venv/ready .sandbox/bin/actionlint ## linters and type checker
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy .
	@.sandbox/bin/actionlint
	@$(python) -m check_jsonschema --quiet --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci .gitlab-ci.yml
	@$(python) -m settings.schema | diff --unified $(schema) - || { echo "$(schema) is stale: run make schema"; exit 1; }
	@$(python) -m check_jsonschema --quiet --schemafile $(schema) Pulumi.*.yaml

schema: .sandbox/venv/ready ## write the JSON Schema of stack files anew
	@$(python) -m settings.schema > $(schema)

.sandbox/bin/actionlint: pipeline/actionlint/go.mod
	@echo "actionlint: building"
	@mkdir -p .sandbox/bin
	@cd pipeline/actionlint && go build -o ../../$@ github.com/rhysd/actionlint/cmd/actionlint

.sandbox/venv/ready: requirements.txt requirements-tools.txt requirements-dev.txt sandbox/requirements.txt constraints.txt
	@echo "python packages: installing into .sandbox/venv"
	@python3 -m venv .sandbox/venv
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@
